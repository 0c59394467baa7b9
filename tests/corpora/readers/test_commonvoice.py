"""Common Voice's tables as they were published: sentences of no words, shifted rows, clips without a suffix."""

from __future__ import annotations

from pathlib import Path

import pytest

from raysearch.corpora.check import check_corpus
from raysearch.corpora.corpus import Corpus, Fault
from raysearch.corpora.readers.commonvoice import read_commonvoice
from raysearch.corpora.settings import CommonVoiceSettings
from tests.corpora.speech_trees import noise, write_flac

SPLITS = ("train", "dev", "test")


def write(root: Path, sentences: list[str], suffix: str = ".wav") -> Path:
    """The same sentences in each split, said by clips at 16 kHz that the tables name with this suffix."""
    for first, split in zip((0, 100, 200), SPLITS, strict=True):
        lines = ["client_id\tpath\tsentence"]
        for number, sentence in enumerate(sentences, start=first):
            write_flac(root / "clips" / f"c{number}{suffix or '.flac'}", noise(0.4, number))
            lines.append(f"who{number}\tc{number}{suffix}\t{sentence}")
        (root / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return root


def read(root: Path) -> Corpus:
    return read_commonvoice(CommonVoiceSettings(root=root, max_skipped=0.5), None)


@pytest.mark.parametrize("sentence", ["", " ", "...", "¿?!", "\u200b"])
def test_sentence_without_words_is_left_out_and_counted(tmp_path: Path, sentence: str) -> None:
    corpus = read(write(tmp_path, ["Go on.", sentence]))
    assert {split: [cut.id for cut in cuts] for split, cuts in corpus.splits.items()} == {
        "train": ["c0"],
        "dev": ["c100"],
        "test": ["c200"],
    }
    assert corpus.faults == tuple(Fault(f"c{number}", "empty transcript") for number in (1, 101, 201))


def test_row_with_a_tab_too_many_is_a_fault_with_its_line(tmp_path: Path) -> None:
    corpus = read(write(tmp_path, ["Go on.", "STOP\tTHERE"]))
    assert corpus.faults[0] == Fault("c1", "train.tsv: line 3: 4 cells; expected 3")
    assert [cut.supervisions[0].text for cut in corpus.splits["train"]] == ["GO ON"]


def test_marks_above_and_below_letters_are_parts_of_words(tmp_path: Path) -> None:
    said = ["हिन्दी में बोलो।", "தமிழ் பேசு", "আমি বাংলা বলি", "de\u0301ja\u0300 vu"]
    corpus = read(write(tmp_path, said))
    texts = [cut.supervisions[0].text for cut in corpus.splits["train"]]
    assert texts == ["हिन्दी में बोलो", "தமிழ் பேசு", "আমি বাংলা বলি", "DE\u0301JA\u0300 VU"]
    assert check_corpus(corpus).splits[0].words == 10


def test_clip_that_the_table_names_without_a_suffix_is_found(tmp_path: Path) -> None:
    """As in the first releases. Their clips are MP3 files, or the FLAC files that were made of these."""
    corpus = read(write(tmp_path, ["Go on.", "Stop."], suffix=""))
    assert corpus.faults == ()
    assert Path(corpus.splits["train"]["c0"].recording.sources[0].source).name == "c0.flac"
