"""Labelled folders and tables: what they give, and the one line that says what is wrong with them."""

import csv
from pathlib import Path

import numpy as np
import pytest

from raysearch.corpora.readers.labelled import join, read_labelled
from raysearch.corpora.settings import LabelledSettings, SpeakerList
from raysearch.errors import InputError
from tests.corpora.speech_trees import noise, write_flac

ROWS = [
    (f"{label}/{number}.flac", label, split)
    for label in ("no", "yes")
    for number, split in enumerate(["train", "train", "dev", "test"])
]


def write_table(root: Path, rows, columns=("path", "label", "split")) -> Path:
    for seed, row in enumerate(rows):
        write_flac(root / row[0], noise(0.3, seed))
    root.mkdir(exist_ok=True, parents=True)
    with (root / "manifest.csv").open("w", newline="") as file:
        csv.writer(file).writerows([columns, *rows])
    return root


def read(root: Path):
    return read_labelled(LabelledSettings(root=root), None)


def test_table_then_cuts_have_labels_and_ids_of_their_own(tmp_path):
    corpus = read(write_table(tmp_path / "words", ROWS))
    assert corpus.name == "words"
    assert [cut.id for cut in corpus.splits["train"]] == ["no/0", "no/1", "yes/0", "yes/1"]
    assert [cut.supervisions[0].custom["label"] for cut in corpus.splits["test"]] == ["no", "yes"]


def test_table_that_excel_saved_is_read(tmp_path):
    file = write_table(tmp_path / "words", ROWS) / "manifest.csv"
    file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"))
    assert [cut.id for cut in read(file.parent).splits["train"]] == ["no/0", "no/1", "yes/0", "yes/1"]


def test_forks_that_a_mac_left_are_passed_over(tmp_path):
    for seed, (path, label, split) in enumerate(ROWS):
        file = write_flac(tmp_path / split / label / Path(path).name, noise(0.3, seed))
        (file.parent / f"._{file.name}").write_bytes(b"a fork")
    corpus = read(tmp_path)
    assert corpus.faults == ()
    assert len(corpus.splits["train"]) == 4


def test_folders_by_split_then_the_same_labels(tmp_path):
    for seed, (path, label, split) in enumerate(ROWS):
        write_flac(tmp_path / split / label / Path(path).name, noise(0.3, seed))
    corpus = read(tmp_path)
    assert {cut.id: cut.supervisions[0].custom["label"] for cut in corpus.splits["dev"]} == {
        "dev/no/2": "no",
        "dev/yes/2": "yes",
    }


def test_corrupt_recording_then_skipped_and_counted(tmp_path):
    root = write_table(tmp_path, [*ROWS, ("no/9.flac", "no", "train")])
    (root / "no" / "9.flac").write_bytes(b"fLaC nothing more")
    corpus = read_labelled(LabelledSettings(root=root, max_skipped=0.3), None)
    assert [fault.cut for fault in corpus.faults] == ["no/9"]


def test_more_recordings_then_they_are_trained_on_without_a_label(tmp_path):
    root = write_table(tmp_path / "words", ROWS)
    write_flac(tmp_path / "other" / "ann" / "1" / "a.flac", noise(0.5, 99))
    (tmp_path / "other" / "list.txt").write_text("ann ann/1/a.flac\n")
    settings = LabelledSettings(root=root, more=[SpeakerList(file=tmp_path / "other" / "list.txt")])
    train = {cut.id: cut.supervisions[0] for cut in read_labelled(settings, None).splits["train"]}
    assert [cut for cut, supervision in train.items() if "label" not in supervision.custom] == ["ann-1-a"]
    assert train["ann-1-a"].speaker == "ann"
    assert len(train) == 5


def test_recording_of_test_among_more_then_refused(tmp_path):
    root = write_table(tmp_path / "words", ROWS)
    (tmp_path / "list.txt").write_text("ann words/no/3.flac\n")
    settings = LabelledSettings(root=root, more=[SpeakerList(file=tmp_path / "list.txt")])
    with pytest.raises(InputError, match="1 recording both in train and in test"):
        read_labelled(settings, None)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([*ROWS, ("maybe/0.flac", "maybe", "test")], r"label 'maybe' of 1 cut in test has no usable example in train"),
        ([*ROWS, ("ye/0.flac", "ye", "test")], r"expected one of no, yes \(did you mean 'yes'\?\)"),
        ([*ROWS, ("maybe/0.flac", "maybe", "dev")], r"label 'maybe' of 1 cut in dev"),
        ([*ROWS, ("no/9.flac", "no", "dve")], r"manifest.csv: line 10: split: 'dve'; expected train, dev or test"),
        ([*ROWS, ("no/9.flac", "", "dev")], r"line 10: .*; expected a path and a label"),
        ([row for row in ROWS if row[1] == "no"], r"train has one label, 'no'; expected at least two"),
    ],
)
def test_labels_that_cannot_be_learned_are_refused(tmp_path, rows, message):
    with pytest.raises(InputError, match=message):
        read(write_table(tmp_path, rows))


def test_recording_in_two_splits_under_two_names_is_refused(tmp_path):
    root = write_table(tmp_path, ROWS)
    (root / "yes" / "3.flac").write_bytes((root / "yes" / "0.flac").read_bytes())
    with pytest.raises(InputError, match=r"1 recording both in train and in test; .*first yes/0 = yes/3"):
        read(root)


def test_same_file_listed_in_two_splits_is_refused(tmp_path):
    with pytest.raises(InputError, match="1 recording both in train and in dev"):
        read(write_table(tmp_path, [*ROWS, ("no/0.flac", "no", "dev")]))


def test_table_without_a_column_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"manifest.csv: no column split; expected path, label, split"):
        read(write_table(tmp_path, [row[:2] for row in ROWS], ("path", "label")))


def test_neither_table_nor_folders_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"neither manifest.csv nor folder train"):
        read(tmp_path)


def test_joined_corpora_then_cuts_know_their_own(tmp_path):
    one, other = (read(write_table(tmp_path / name, ROWS)) for name in ("a", "b"))
    both = join([one, other])
    assert both.name == "a+b"
    assert [cut.id for cut in both.splits["test"]] == ["a/no/3", "a/yes/3", "b/no/3", "b/yes/3"]
    assert [cut.supervisions[0].custom["corpus"] for cut in both.splits["test"]] == ["a", "a", "b", "b"]
    assert np.array_equal(
        both.audio.audio(both.splits["test"]["b/no/3"]), other.audio.audio(other.splits["test"]["no/3"])
    )
    with pytest.raises(InputError, match="expected different names"):
        join([one, one])


def test_real_keywords_then_as_their_readme_says(speech):
    corpus = read(speech / "cls" / "keywords")
    assert {split: len(cuts) for split, cuts in corpus.splits.items()} == {"train": 300, "dev": 60, "test": 90}
