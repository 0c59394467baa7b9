"""Digests are names of folders and of searches: each must stay what it was when the first of them was written."""

import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from lhotse import CutSet, Recording, SupervisionSegment
from lhotse.cut import MonoCut

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import SyntheticSettings
from raysearch.encoder.imports.source import source_key
from raysearch.files.digest import content_digest, document_digest
from raysearch.search.sampler import derived_seed
from raysearch.spec.loading import load_spec
from raysearch.storage.folder import copy_of
from raysearch.targets.kept_layer import FeatureKey
from raysearch.targets.label_set import LabelKey
from raysearch.targets.mels import mels_of
from raysearch.targets.pseudo_labels import pseudo_label_digest
from raysearch.targets.settings import PseudoLabelSettings
from raysearch.targets.store import FolderStore
from raysearch.teachers.settings import TrainedTeacher
from raysearch.teachers.store import find_teacher

SPACES = Path(__file__).parents[2] / "search_spaces"


class Asked(Exception):
    """Ends a call as soon as it names a digest."""


class Asking(FolderStore):
    """A store that raises the first digest it is asked for."""

    def get(self, digest: str) -> Path | None:
        raise Asked(digest)


def asked(call: Any, *args: Any) -> str:
    with pytest.raises(Asked) as caught:
        call(*args)
    return str(caught.value)


@pytest.fixture
def corpus() -> Corpus:
    def cut(name: str, samples: int, text: str | None, speaker: str | None, **custom: Any) -> MonoCut:
        seconds = samples / 16_000
        said = SupervisionSegment(name, name, 0, seconds, text=text, speaker=speaker, custom=custom or None)
        recording = Recording(name, [], 16_000, samples, seconds)
        return MonoCut(id=name, start=0, duration=seconds, channel=0, recording=recording, supervisions=[said])

    train = [cut("a", 16_000, "HELLO", "s1", phones=["HH", "AH"]), cut("b", 8_000, None, None)]
    return Corpus("c", {"train": CutSet.from_cuts(train), "dev": CutSet.from_cuts([cut("c", 4_000, "É", "s2")])})


def test_content_is_the_same_as_text_bytes_and_parts() -> None:
    assert content_digest("a text") == content_digest(b"a text") == content_digest(["a ", "text"]) == "734194ede5b063e6"
    assert content_digest("a text", digits=4) == "7341"


def test_order_of_keys_does_not_count() -> None:
    assert document_digest({"a": 1, "b": 2}) == document_digest({"b": 2, "a": 1}) != document_digest({"a": 2, "b": 1})


def test_corpus_keeps_its_fingerprint(corpus: Corpus) -> None:
    assert corpus.fingerprint == "e9eb1fdf4577997d"


def test_label_sets_keep_their_names() -> None:
    key = LabelKey("teacher", "0123456789abcdef", 3, 100, 0, 5000, "fedcba9876543210")
    assert key.digest == "30289b73c170ba98"


def test_kept_features_keep_their_names() -> None:
    assert FeatureKey("0123456789abcdef", 3, "fedcba9876543210", 640, 200).digest == "97fab038fa5aade4"


def test_pseudo_labels_keep_their_names() -> None:
    teacher: Any = SimpleNamespace(key="0123456789abcdef")
    corpus: Any = SimpleNamespace(fingerprint="fedcba9876543210")
    assert pseudo_label_digest(PseudoLabelSettings(), teacher, corpus) == "4cc4166adbc3a51a"


def test_log_mel_bins_keep_their_names(corpus: Corpus, tmp_path: Path) -> None:
    assert asked(mels_of, corpus, 80, Asking(tmp_path)) == "54f52f092b2994c4"


def test_teachers_keep_their_names(corpus: Corpus, tmp_path: Path) -> None:
    assert asked(find_teacher, TrainedTeacher(), corpus, Asking(tmp_path)) == "a491c8ea0f900b7d"


def test_sources_keep_their_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert source_key("torchaudio:HUBERT_BASE") == "5f373789d6e0bfbf"
    monkeypatch.chdir(tmp_path)
    for name in ("src/a.txt", "src/b.txt"):
        Path(name).parent.mkdir(exist_ok=True)
        Path(name).write_text(Path(name).name)
        os.utime(name, ns=(10**18, 10**18))
    assert source_key("src") == "57e5ddeda231d0fd"


def test_copies_keep_their_folders() -> None:
    assert copy_of("s3://bucket/searches/").name == copy_of("s3://bucket/searches").name == "4d554d9842c0"


def test_synthetic_speech_keeps_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def synthesise(settings: SyntheticSettings, folder: Path) -> None:
        raise Asked(folder.name)

    monkeypatch.setattr("raysearch.corpora.readers.synthetic.synthesise", synthesise)
    assert asked(read_corpus, SyntheticSettings(), tmp_path) == "synthetic-d66a614abf96"


def test_trials_keep_their_seeds() -> None:
    assert [derived_seed(*pair) for pair in ((0, 0), (7, 12), (123, 4567))] == [1446583109, 112270097, 201374677]


@pytest.mark.parametrize(
    ("space", "digest"),
    [
        ("quickstart", "3b672eaae31eedf7"),
        ("dicehubert-an4", "d8e9bee81e1deca3"),
        ("oskdft-voxceleb", "a61adfd44dd09176"),
    ],
)
def test_searches_keep_their_digests(space: str, digest: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")  # relative paths of a document count from here
    assert load_spec(SPACES / f"{space}.yaml").digest == digest
