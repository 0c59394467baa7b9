"""The manifest reader: what lhotse wrote is read back, what we cannot use is a fault."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from raysearch.corpora.corpus import Corpus, Fault
from raysearch.corpora.readers.librispeech import read_librispeech
from raysearch.corpora.readers.manifests import read_manifests
from raysearch.corpora.settings import LibriSpeechSettings, ManifestSettings, SplitFolders
from raysearch.errors import InputError
from tests.corpora.speech_trees import noise, write_corpus, write_flac

SPLITS = ("train", "dev", "test")


def write_manifests(tmp_path: Path) -> tuple[Corpus, ManifestSettings]:
    folders = SplitFolders(train=["train"], dev=["dev"], test=["test"])
    corpus = read_librispeech(LibriSpeechSettings(root=write_corpus(tmp_path / "tiny"), splits=folders), None)
    paths = {split: tmp_path / f"{split}.jsonl.gz" for split in SPLITS}
    for split, cuts in corpus.splits.items():
        cuts.to_file(paths[split])
    return corpus, ManifestSettings.model_validate({"splits": paths, "max_skipped": 0.3})


def edit_train(settings: ManifestSettings, edit: Callable[[list[dict[str, Any]]], None]) -> None:
    path = settings.splits.train
    items = [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]
    edit(items)
    with gzip.open(path, "wt") as file:
        file.writelines(json.dumps(item) + "\n" for item in items)


def test_manifests_written_by_lhotse_give_the_same_corpus(tmp_path: Path) -> None:
    corpus, settings = write_manifests(tmp_path)
    read = read_manifests(settings, None)
    assert read.fingerprint == corpus.fingerprint
    assert read.faults == ()


def test_manifest_piece_of_a_recording_is_a_cut(tmp_path: Path) -> None:
    _, settings = write_manifests(tmp_path)
    piece = {"start": 0.25, "duration": 0.25}
    edit_train(settings, lambda items: (items[0].update(piece), items[0]["supervisions"][0].update(duration=0.25))[0])
    assert read_manifests(settings, None).splits["train"][0].num_samples == 4_000


@pytest.mark.parametrize(
    ("edit", "reason"),
    [
        (lambda item: item.update(type="MultiCut"), "not a lhotse MonoCut"),
        (lambda item: item.pop("start"), "not a lhotse MonoCut"),
        (lambda item: item["recording"]["sources"][0].update(type="url"), "audio is not one file"),
        (lambda item: item.update(supervisions=[]), "0 supervisions; expected 1"),
        (lambda item: item["supervisions"][0].update(text=" "), "empty transcript"),
        (lambda item: item["supervisions"][0].update(text="\u200b ?"), "empty transcript"),
        (lambda item: item.update(duration=float("nan")), "duration: NaN; expected a number"),
        (lambda item: item.update(duration="0.4"), 'duration: "0.4"; expected a number'),
        (lambda item: item.update(start=None), "start: null; expected a number"),
        (lambda item: item["supervisions"][0].update(duration=None), "supervision: duration: null; expected a number"),
        (lambda item: item["supervisions"][0].update(duration=6.8), "transcript of 6.8 s, cut of 0.5 s"),
        (lambda item: item["supervisions"][0].update(text=["A"]), 'text: ["A"]; expected a text'),
        (lambda item: item["supervisions"][0].update(custom={"phones": [1]}), "phones: [1]; expected a list of texts"),
        (lambda item: item["recording"].update(sampling_rate=8_000), "manifest says 8000 Hz; expected 16000 Hz"),
        (lambda item: item.update(duration=0.6), "audio ends before the cut does"),
        (lambda item: item["recording"]["sources"][0].update(source="gone.flac"), "cannot be read: No such file"),
    ],
)
def test_manifest_cut_that_cannot_be_used_is_a_fault(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], reason: str
) -> None:
    _, settings = write_manifests(tmp_path)
    edit_train(settings, lambda items: edit(items[2]))
    corpus = read_manifests(settings, None)
    (fault,) = corpus.faults
    assert len(corpus.splits["train"]) == 9
    assert fault.reason.startswith(reason)
    assert fault.cut in ("10-1-0002", "train.jsonl.gz:3")


def test_manifest_numbers_are_read_as_text_and_phones_as_a_list(tmp_path: Path) -> None:
    _, settings = write_manifests(tmp_path)
    custom = {"label": 0, "phones": "Y EH S", "slots": {"room": 7}}
    edit_train(settings, lambda items: items[2]["supervisions"][0].update(speaker=1, custom=custom))
    edit_train(settings, lambda items: items[3]["supervisions"][0].update(text=5))
    corpus = read_manifests(settings, None)
    supervision = corpus.splits["train"][2].supervisions[0]
    (fault,) = corpus.faults
    assert fault.reason == "text: 5; expected a text"
    assert supervision.speaker == "1"
    assert supervision.custom == {"label": "0", "phones": ["Y", "EH", "S"], "slots": {"room": "7"}}


def test_manifest_wrong_rate_of_audio_is_not_resampled(tmp_path: Path) -> None:
    corpus, settings = write_manifests(tmp_path)
    write_flac(Path(corpus.splits["train"][2].recording.sources[0].source), noise(0.5), 8_000)
    assert read_manifests(settings, None).faults == (Fault("10-1-0002", "8000 Hz; expected 16000 Hz"),)


def test_manifest_id_used_twice_is_a_fault(tmp_path: Path) -> None:
    _, settings = write_manifests(tmp_path)
    edit_train(settings, lambda items: items.append(items[0]))
    assert read_manifests(settings, None).faults == (Fault("10-1-0000", "cut id used twice"),)


def test_manifest_missing_is_refused(tmp_path: Path) -> None:
    _, settings = write_manifests(tmp_path)
    settings.splits.dev.unlink()
    with pytest.raises(InputError, match=r"^corpus.splits.dev: .*dev.jsonl.gz: no such file; expected a lhotse cut"):
        read_manifests(settings, None)


@pytest.mark.parametrize(
    "content", [b"no gzip", gzip.compress(b'{"type": "MonoCut"', mtime=0), gzip.compress(b"{}\n", mtime=0)[:-6]]
)
def test_manifest_that_is_not_json_lines_is_refused(tmp_path: Path, content: bytes) -> None:
    _, settings = write_manifests(tmp_path)
    settings.splits.dev.write_bytes(content)
    with pytest.raises(InputError, match=r"^corpus.splits.dev: .*; expected JSON lines in UTF-8$"):
        read_manifests(settings, None)


def test_relative_paths_hold_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """lhotse writes paths relative to its working directory, and workers run in other folders than the command."""
    corpus, settings = write_manifests(tmp_path)
    for path in (settings.splits.train, settings.splits.dev, settings.splits.test):
        content = gzip.decompress(path.read_bytes()).replace(f"{tmp_path}/".encode(), b"")
        path.write_bytes(gzip.compress(content))
    monkeypatch.chdir(tmp_path)
    here = ManifestSettings.model_validate({"splits": settings.splits})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    there = ManifestSettings.model_validate_json(here.model_dump_json())
    read = read_manifests(there, None)
    assert read.fingerprint == corpus.fingerprint
    assert all(Path(cut.recording.sources[0].source).is_file() for cut in read.splits["train"])
    unlike = ManifestSettings.model_validate({"splits": settings.splits})
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_manifests(unlike, None)


def test_pairs_that_flatter_are_left_out(tmp_path: Path) -> None:
    corpus, settings = write_manifests(tmp_path)
    one, two, three = list(corpus.splits["dev"].ids)[:3]
    lines = [f"1\t{one}\t{two}", f"0\t{two}\t{one}", f"1\t{one}\t{one}", f"0\t{one}\t{three}"]
    (tmp_path / "dev.pairs").write_text("\n".join(lines))
    read = read_manifests(settings, None)
    assert [(pair.same, pair.one, pair.other) for pair in read.pairs["dev"]] == [(True, one, two), (False, one, three)]
    assert [(Path(fault.cut).name, fault.reason) for fault in read.faults] == [
        ("dev.pairs:2", "pair twice"),
        ("dev.pairs:3", "a recording compared with itself"),
    ]
