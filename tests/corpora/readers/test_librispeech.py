"""The LibriSpeech reader on small trees that are sound, or broken in one way; AN4 on real speech."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raysearch.corpora.corpus import Corpus, Fault
from raysearch.corpora.readers.librispeech import read_an4, read_librispeech
from raysearch.corpora.settings import An4Settings, LibriSpeechSettings, SplitFolders
from raysearch.errors import InputError
from tests.corpora.speech_trees import noise, write_corpus, write_flac

FOLDERS = SplitFolders(train=["train"], dev=["dev"], test=["test"])
VICTIM = "10-1-0002"


def read(root: Path, **settings: object) -> Corpus:
    document = {"root": root, "splits": FOLDERS, "max_skipped": 0.3, **settings}
    return read_librispeech(LibriSpeechSettings.model_validate(document), None)


def chapter(root: Path) -> Path:
    return root / "train" / "10" / "1"


def transcripts(root: Path) -> Path:
    return chapter(root) / "10-1.trans.txt"


def test_sound_tree_gives_every_utterance(tmp_path: Path) -> None:
    corpus = read(write_corpus(tmp_path / "tiny"))
    assert corpus.name == "tiny"
    assert {split: len(cuts) for split, cuts in corpus.splits.items()} == {"train": 10, "dev": 10, "test": 10}
    assert corpus.faults == ()
    cut = corpus.splits["dev"][6]
    assert (cut.id, cut.num_samples, cut.sampling_rate) == ("21-1-0001", 8_000, 16_000)
    assert (cut.supervisions[0].text, cut.supervisions[0].speaker) == ("OPEN THE DOOR", "21")
    assert corpus.hours("dev") == pytest.approx(10 * 0.5 / 3600)


def test_speaker_sex_and_phones_come_with_the_cut(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    (root / "SPEAKERS.TXT").write_text(";ID | SEX | SUBSET\n10 | F | train\n20 | M | dev\n")
    (tmp_path / "phones").mkdir()
    for split, key in (("train", "10-1-0000"), ("dev", "20-1-0000"), ("test", "30-1-0000")):
        (tmp_path / "phones" / f"tiny-{split}.txt").write_text(f"{key} OW P AH N\n\n")
    cuts = read(root, phones=tmp_path / "phones").splits["train"]
    assert cuts[0].supervisions[0].gender == "F"
    assert cuts[0].supervisions[0].custom == {"phones": ["OW", "P", "AH", "N"]}
    assert cuts[1].supervisions[0].custom is None
    assert cuts[5].supervisions[0].gender is None


def test_phones_of_an_utterance_that_come_twice_are_a_fault(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    (tmp_path / "phones").mkdir()
    for split, key in (("train", "10-1-0000"), ("dev", "20-1-0000"), ("test", "30-1-0000")):
        (tmp_path / "phones" / f"tiny-{split}.txt").write_text(f"{key} OW P\n" * (1 + (split == "train")))
    corpus = read(root, phones=tmp_path / "phones", max_skipped=0.2)
    assert corpus.faults == (Fault("10-1-0000", "phones twice"),)


def test_lower_case_transcript_is_raised(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    transcripts(root).write_text(transcripts(root).read_text().replace("OPEN THE", "Open  the"))
    assert {cut.supervisions[0].text for cut in read(root).splits["train"]} == {"OPEN THE DOOR"}


def corrupt(root: Path) -> None:
    path = chapter(root) / f"{VICTIM}.flac"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF  # The header stays whole.
    path.write_bytes(data)
    assert soundfile.info(path).frames == 8_000


def truncate(root: Path) -> None:
    path = chapter(root) / f"{VICTIM}.flac"
    path.write_bytes(path.read_bytes()[:4_000])


def edit_line(replacement: str) -> Callable[[Path], None]:
    def edit(root: Path) -> None:
        text = transcripts(root).read_text()
        transcripts(root).write_text(text.replace(f"{VICTIM} OPEN THE DOOR\n", replacement))

    return edit


def write_audio(audio: np.ndarray | bytes, rate_hz: int = 16_000) -> Callable[[Path], None]:
    return lambda root: (write_flac(chapter(root) / f"{VICTIM}.flac", audio, rate_hz), None)[1]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (corrupt, "does not decode: .*lost sync"),
        (truncate, "does not decode: .*lost sync"),
        (write_audio(b"no audio at all" * 10), "does not decode: Format not recognised"),
        (write_audio(b"version https://git-lfs.github.com/spec/v1\n"), "does not decode: a git-lfs pointer; .*"),
        (write_audio(b""), r"file is empty \(0 bytes\)"),
        (write_audio(noise(0.5), 8_000), "8000 Hz; expected 16000 Hz"),
        (write_audio(np.stack([noise(0.5)] * 2, 1)), "2 channels; expected 1"),
        (write_audio(np.zeros(8_000)), "silent: every sample is zero"),
        (write_audio(np.full(8_000, 0.25)), "silent: every sample is the same"),
        (lambda root: (chapter(root) / f"{VICTIM}.flac").unlink(), "transcript without audio"),
        (edit_line(f"{VICTIM}\n"), "empty transcript"),
        (edit_line(f"{VICTIM} \u200b ?!\n"), "empty transcript"),
        (edit_line(""), "audio without transcript"),
    ],
)
def test_bad_utterance_is_left_out_with_its_reason(tmp_path: Path, damage: Callable[[Path], None], reason: str) -> None:
    root = write_corpus(tmp_path / "tiny")
    damage(root)
    corpus = read(root)
    assert len(corpus.splits["train"]) == 9
    (fault,) = corpus.faults
    assert fault.cut == VICTIM
    assert re.fullmatch(reason, fault.reason)


def test_transcripts_of_windows_and_the_web_are_read_whole(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    text = transcripts(root).read_text().replace("OPEN THE DOOR", "OPEN\u2028THE\u0085DO\u200bOR")
    transcripts(root).write_bytes(b"\xef\xbb\xbf" + text.replace("\n", "\r\n").encode())
    corpus = read(root)
    assert corpus.faults == ()
    assert {cut.supervisions[0].text for cut in corpus.splits["train"]} == {"OPEN THE DOOR"}


def test_transcript_file_that_is_a_folder_is_a_fault(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    (chapter(root) / "more.trans.txt").mkdir()
    assert read(root).faults == (Fault("more.trans.txt", "transcript file cannot be read: Is a directory"),)


def test_transcript_that_stands_twice_is_a_fault(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    edit_line(f"{VICTIM} OPEN THE DOOR\n{VICTIM} CLOSE IT\n")(root)
    assert read(root).faults == (Fault(VICTIM, "transcript twice"),)


def test_wav_files_and_suffixes_in_capitals_are_read_and_files_of_macs_passed_over(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    one, other = (chapter(root) / f"10-1-{number}.flac" for number in ("0000", "0001"))
    one.rename(one.with_suffix(".FLAC"))
    other.unlink()
    soundfile.write(other.with_suffix(".wav"), noise(0.5), 16_000)
    (chapter(root) / "._10-1-0002.flac").write_bytes(b"a fork")
    (chapter(root) / "._10-1.trans.txt").write_bytes(b"\xff a fork")
    corpus = read(root)
    assert corpus.faults == ()
    assert len(corpus.splits["train"]) == 10


def test_transcript_file_in_another_encoding_is_a_fault(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    transcripts(root).write_bytes("10-1-0000 DÉJÀ VU\n".encode("latin-1"))
    faults = read(root, max_skipped=0.6).faults
    assert faults[0] == Fault("10-1.trans.txt", "transcript file is not UTF-8")
    assert [fault.reason for fault in faults[1:]] == ["audio without transcript"] * 5


def test_id_used_twice_in_a_split_is_a_fault(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    write_flac(root / "train" / "11" / "1" / f"{VICTIM}.flac", noise(0.5))
    assert read(root).faults == (Fault(VICTIM, "utterance id used twice"),)


def test_more_faults_than_allowed_are_refused_with_the_first_three(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    for number in range(4):
        write_flac(chapter(root) / f"10-1-{number:04d}.flac", b"")
    with pytest.raises(InputError) as error:
        read(root)
    empty = "file is empty (0 bytes)"
    assert str(error.value) == (
        "corpus.max_skipped: split train: 4 of 10 cuts cannot be used (40.0%); expected at most 30.0%; "
        f"first 10-1-0000 ({empty}), 10-1-0001 ({empty}), 10-1-0002 ({empty})"
    )


def test_split_without_a_usable_cut_is_refused_with_reasons(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    for path in (root / "train").glob("*/*/*.trans.txt"):
        path.write_bytes("10-1-0000 DÉJÀ VU\n".encode("latin-1"))
    with pytest.raises(
        InputError, match=r"no usable cuts of 12; .*; first 10-1.trans.txt \(transcript file is not UTF"
    ):
        read(root, max_skipped=1)


def test_share_exactly_at_the_limit_is_accepted(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    for number in range(3):
        write_flac(chapter(root) / f"10-1-{number:04d}.flac", b"")
    assert len(read(root).faults) == 3


def test_length_limits_leave_out_without_counting_as_unusable(tmp_path: Path) -> None:
    root = write_corpus(tmp_path / "tiny")
    for split, speaker in (("train", "10"), ("dev", "20")):
        write_flac(root / split / speaker / "1" / f"{speaker}-1-0000.flac", noise(2.0))
        write_flac(root / split / speaker / "1" / f"{speaker}-1-0001.flac", noise(0.05))
    corpus = read(root, max_skipped=0, max_s=1.0)
    assert corpus.faults == (
        Fault("10-1-0000", "longer than max_s = 1 s"),
        Fault("10-1-0001", "shorter than min_s = 0.1 s"),
        Fault("20-1-0001", "shorter than min_s = 0.1 s"),
    )
    assert corpus.splits["dev"][0].duration == 2.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"root": "nowhere"}, r"^corpus.root: .*nowhere: no such folder; expected one that holds train, dev, test$"),
        (
            {"splits": SplitFolders(train=["train-clean-100"], dev=["dev"], test=["test"])},
            r"^corpus.root: .*train-clean-100: no such folder; expected split train there, as <speaker>.*",
        ),
        ({"phones": "nowhere"}, r"^corpus.phones: .*nowhere/tiny-train.txt: no such file; expected lines .*"),
        ({"min_s": 3}, r"^corpus: split train: no usable cuts of 10; expected at least one \(min_s = 3, max_s = 30\)$"),
    ],
)
def test_wrong_settings_are_refused_in_one_line(tmp_path: Path, settings: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(**{"root": write_corpus(tmp_path / "tiny"), **settings})  # type: ignore[arg-type]


def test_fingerprint_does_not_depend_on_the_folder(tmp_path: Path) -> None:
    here, there = (read(write_corpus(tmp_path / name / "tiny")) for name in ("here", "there"))
    assert here.fingerprint == there.fingerprint


@pytest.mark.speech
def test_an4_has_its_documented_size(speech: Path, tmp_path: Path) -> None:
    corpus = read_an4(An4Settings(root=speech / "asr" / "an4"), tmp_path / "verdicts.json")
    assert {split: len(cuts) for split, cuts in corpus.splits.items()} == {"train": 693, "dev": 103, "test": 130}
    assert corpus.hours("train") == pytest.approx(0.518, abs=5e-4)
    assert corpus.faults == ()
    speakers = [{cut.supervisions[0].speaker for cut in cuts} for cuts in corpus.splits.values()]
    assert [len(group) for group in speakers] == [54, 8, 10]
    assert all("phones" in cut.supervisions[0].custom for cuts in corpus.splits.values() for cut in cuts)
