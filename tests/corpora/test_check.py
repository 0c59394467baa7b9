"""The corpus report on small trees with known contents."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from raysearch.cli import app
from raysearch.corpora.check import Checked, FaultGroup, check_corpus
from raysearch.corpora.readers.reading import whole_cut
from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import An4Settings, LabelledSettings, ManifestSettings
from tests.corpora.speech_trees import noise, write_corpus, write_flac

ROOT = Path(__file__).parents[2]


def check(root: Path) -> Checked:
    cache = root.parent / "cache"
    return check_corpus(read_corpus(An4Settings(root=root, max_skipped=0.5), cache), cache / "verdicts.json")


def test_sound_corpus_is_counted_without_warnings(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    checked = check(root)
    assert checked.warnings == checked.faults == ()
    train = checked.splits[0]
    assert (train.cuts, train.speakers, train.words, train.vocabulary, train.phones) == (10, 2, 30, 3, 0)
    assert train.hours == pytest.approx(5 / 3600)
    assert len(checked.lines()) == 3
    assert checked.lines()[0].startswith("train: 10 cuts, 0.001 h, 0.5 to 0.5 s each, 2 speakers, 30 words (")
    assert json.loads(json.dumps(checked.document()))["splits"][0]["without_phones"] == 10


def test_faults_are_grouped_by_reason(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    for number in range(4):
        write_flac(root / "train" / "10" / "1" / f"10-1-{number:04d}.flac", b"")
    (root / "dev" / "20" / "1" / "20-1-0000.flac").unlink()
    checked = check(root)
    assert checked.faults == (
        FaultGroup("file is empty (0 bytes)", 4, ("10-1-0000", "10-1-0001", "10-1-0002")),
        FaultGroup("transcript without audio", 1, ("20-1-0000",)),
    )
    assert checked.lines()[3:] == [
        "left out: 4 cuts: file is empty (0 bytes); first: 10-1-0000, 10-1-0001, 10-1-0002",
        "left out: 1 cut: transcript without audio; first: 20-1-0000",
    ]


def test_verb_says_what_is_left_out(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    write_flac(root / "train" / "10" / "1" / "10-1-0000.flac", b"")
    document = ROOT / "search_spaces/dicehubert-an4.yaml"
    words = ["corpus", "check", str(document), "--set", f"corpus.root={root}", "--storage", str(tmp_path / "store")]
    found = CliRunner().invoke(app, words)
    assert "left out: 1 cut: file is empty (0 bytes); first: 10-1-0000" in found.output.splitlines()


def test_speaker_in_two_splits_is_a_warning(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    shutil.move(root / "train" / "10", root / "dev" / "11")
    assert check(root).warnings == ("train and dev share 1 speaker: 11",)


def test_speakers_that_are_numbers_are_texts_and_mix_with_texts(tmp_path: Path) -> None:
    """As in manifests that were made from a table."""
    paths = {split: tmp_path / f"{split}.jsonl" for split in ("train", "dev", "test")}
    for first, path in enumerate(paths.values()):
        cuts = [
            whole_cut(
                f"{first}{speaker}", write_flac(tmp_path / f"{first}{speaker}.flac", noise(0.3, first)), 4_800, ""
            )
            for first, speaker in ((3 * first, 1), (3 * first + 1, 2), (3 * first + 2, "ann"))
        ]
        lines = [cut.to_dict() for cut in cuts]
        for line, speaker in zip(lines, (1, 2, "ann"), strict=True):
            line["supervisions"][0] |= {"speaker": speaker, "text": "GO"}
        path.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    settings = ManifestSettings.model_validate({"splits": paths})
    checked = check_corpus(read_corpus(settings, tmp_path / "cache"))
    assert [split.speakers for split in checked.splits] == [3, 3, 3]
    assert "train and dev share 3 speakers: 1, 2, ann" in checked.warnings


def test_recording_in_two_splits_is_a_warning_whatever_its_name(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    shutil.copy(root / "test/30/1/30-1-0003.flac", root / "train/10/1/10-1-0001.flac")
    assert check(root).warnings == ("train and test share 1 recording: 10-1-0001",)


def test_reasons_that_differ_in_their_numbers_are_one_group(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    for number, peak in enumerate((3012, 5334, 4810)):
        loud = np.full(8_000, peak, np.float32)
        soundfile.write(root / "train/10/1" / f"10-1-{number:04d}.wav", loud, 16_000, subtype="FLOAT")
        (root / "train/10/1" / f"10-1-{number:04d}.flac").unlink()
    assert check(root).lines()[3] == (
        "left out: 3 cuts: peak 3012; expected at most 1, and the like; first: 10-1-0000, 10-1-0001, 10-1-0002"
    )


def test_one_recording_under_two_speakers_is_a_warning(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    shutil.copy(root / "train/10/1/10-1-0000.flac", root / "train/11/1/11-1-0003.flac")
    # The same recording twice of one speaker is no contradiction.
    shutil.copy(root / "dev/20/1/20-1-0000.flac", root / "dev/20/1/20-1-0001.flac")
    assert check(root).warnings == ("train: 1 recording under two speakers: 10-1-0000 (10) and 11-1-0003 (11)",)


def test_one_recording_of_two_classes_is_a_warning(tmp_path: Path) -> None:
    for seed, name in enumerate(f"{split}/{label}/0" for split in ("train", "dev", "test") for label in ("no", "yes")):
        write_flac(tmp_path / f"{name}.flac", noise(0.5, seed))
    shutil.copy(tmp_path / "train/no/0.flac", tmp_path / "train/yes/1.flac")
    checked = check_corpus(read_corpus(LabelledSettings(root=tmp_path), tmp_path / "cache"))
    assert checked.warnings == ("train: 1 recording under two labels: train/no/0 (no) and train/yes/1 (yes)",)
