"""Lists as VoxCeleb publishes them, and every way in which they can be wrong."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import An4Settings, SpeakerList, TrialList, VoxCelebSettings
from raysearch.errors import InputError

SPEAKERS = {"train": ("a1", "a2"), "dev": ("b1", "b2"), "test": ("c1", "c2")}


def record(path: Path, seconds: float = 0.5) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(len(str(path)))
    soundfile.write(path, 0.1 * rng.standard_normal(round(16_000 * seconds)), 16_000)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two speakers a split, one session of two recordings each; all pairs of dev and test are listed."""
    for speakers in SPEAKERS.values():
        for speaker in speakers:
            for number in (1, 2):
                record(tmp_path / f"wav/{speaker}/x/{number:05}.wav")
    names = [f"{speaker}/x/{number:05}.wav" for speaker in SPEAKERS["train"] for number in (1, 2)]
    (tmp_path / "train.txt").write_text("".join(f"{name[:2]} {name}\n" for name in names))
    for split in ("dev", "test"):
        one, other = SPEAKERS[split]
        lines = [f"1 {one}/x/00001.wav {one}/x/00002.wav", f"0 {one}/x/00001.wav {other}/x/00002.wav", ""]
        (tmp_path / f"{split}.txt").write_text("\n".join(lines))
    return tmp_path


def settings_of(root: Path, **changes) -> VoxCelebSettings:
    lists = {split: TrialList(file=root / f"{split}.txt") for split in ("dev", "test")}
    return VoxCelebSettings(train=[SpeakerList(file=root / "train.txt")], **lists, **changes)


def test_splits_are_what_the_lists_name(root: Path) -> None:
    corpus = read_corpus(settings_of(root), root / "cache")
    assert {split: len(cuts) for split, cuts in corpus.splits.items()} == {"train": 4, "dev": 3, "test": 3}
    assert {cut.supervisions[0].speaker for cut in corpus.splits["train"]} == {"a1", "a2"}
    assert [(pair.same, pair.one, pair.other) for pair in corpus.pairs["test"]] == [
        (True, "c1-x-00001", "c1-x-00002"),
        (False, "c1-x-00001", "c2-x-00002"),
    ]


@pytest.mark.parametrize(
    ("line", "fault"),
    [
        ("1 b1/x/00001.wav", r"dev\.txt:3: '1 b1/x/00001\.wav'; expected 1 <path> <path> or 0 <path> <path>"),
        ("yes b1/x/00001.wav b1/x/00002.wav", r"dev\.txt:3: 'yes'; expected 1 \(one speaker\) or 0 \(two\)"),
        ("1 b1/x/00001.wav b1/x/00009.wav", r"dev\.txt:3: .*b1/x/00009\.wav: no such file; expected a recording"),
        ("1 b1/x/00001.wav b2/x/00001.wav", r"dev\.txt:3: 1, but the paths name b1 and b2; expected 0, or paths"),
    ],
)
def test_bad_line_is_refused_with_its_number(root: Path, line: str, fault: str) -> None:
    with (root / "dev.txt").open("a") as file:
        file.write(line + "\n")
    with pytest.raises(InputError, match=fault) as caught:
        read_corpus(settings_of(root), root / "cache")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("kept", "missing"), [(0, "0: no line compares two"), (1, "1: no line compares a speaker")])
def test_list_of_one_kind_is_refused(root: Path, kept: int, missing: str) -> None:
    lines = (root / "dev.txt").read_text().splitlines()
    (root / "dev.txt").write_text(lines[kept] + "\n")
    with pytest.raises(InputError, match=rf"dev\.txt:1: end of list without a {missing}"):
        read_corpus(settings_of(root), root / "cache")


def test_pairs_that_flatter_are_left_out_with_their_line(root: Path) -> None:
    """A recording is like itself by construction, and a pair that comes twice counts twice, either way round."""
    with (root / "dev.txt").open("a") as file:
        file.write("1 b1/x/00001.wav b1/x/00001.wav\n0 b2/x/00002.wav b1/x/00001.wav\n")
    corpus = read_corpus(settings_of(root), root / "cache")
    assert len(corpus.pairs["dev"]) == 2
    assert [(fault.cut, fault.reason) for fault in corpus.faults] == [
        (f"{root}/dev.txt:3", "a recording compared with itself"),
        (f"{root}/dev.txt:4", "pair twice"),
    ]


def test_recording_compared_with_itself_is_no_pair_of_one_speaker(root: Path) -> None:
    different = (root / "dev.txt").read_text().splitlines()[1]
    (root / "dev.txt").write_text(f"1 b1/x/00001.wav b1/x/00001.wav\n{different}\n")
    with pytest.raises(InputError, match=r"dev\.txt:2: end of list without a 1: no line compares a speaker"):
        read_corpus(settings_of(root), root / "cache")


def test_list_that_is_missing_is_refused(root: Path) -> None:
    (root / "test.txt").unlink()
    with pytest.raises(InputError, match=r"corpus\.test: .*test\.txt: No such file"):
        read_corpus(settings_of(root), root / "cache")


def test_recording_of_two_speakers_is_refused(root: Path) -> None:
    with (root / "train.txt").open("a") as file:
        file.write("a2 a1/x/00001.wav\n")
    with pytest.raises(InputError, match=r"train\.txt:5: a1/x/00001\.wav is a2's here and a1's above"):
        read_corpus(settings_of(root), root / "cache")


def test_speaker_in_two_splits_is_refused(root: Path) -> None:
    with (root / "train.txt").open("a") as file:
        file.write("c1 c1/x/00001.wav\n")
    with pytest.raises(InputError, match=r"corpus\.test: 1 speaker in train too, first c1"):
        read_corpus(settings_of(root), root / "cache")


def test_damaged_recording_is_left_out_with_its_pairs(root: Path) -> None:
    (root / "wav/b2/x/00002.wav").write_bytes(b"RIFF")
    with (root / "dev.txt").open("a") as file:
        file.write("0 b1/x/00002.wav b2/x/00001.wav\n")
    corpus = read_corpus(settings_of(root, max_skipped=0.5), root / "cache")
    assert [fault.cut for fault in corpus.faults] == ["b2-x-00002", f"{root}/dev.txt:2"]
    assert len(corpus.pairs["dev"]) == 2


def test_m4a_as_voxceleb2_comes_is_refused_with_what_converts_it(root: Path) -> None:
    lines = (root / "train.txt").read_text().replace(".wav", ".m4a")
    (root / "train.txt").write_text(lines)
    for path in [root / "wav" / line.split()[1] for line in lines.splitlines()]:
        path.write_bytes(b"\0\0\0\x20ftypM4A " + bytes(64))
    fault = r"split train: 4 of 4 cuts .* first a1-x-00001 \(AAC is not read; convert it: ffmpeg -i IN\.m4a -ac 1 "
    with pytest.raises(InputError, match=fault) as caught:
        read_corpus(settings_of(root), root / "cache")
    assert "\n" not in str(caught.value)


def test_more_speakers_join_the_training_split_of_an4(root: Path) -> None:
    for split in ("train", "dev", "test"):
        for speaker in ("1", "2"):
            folder = root / "an4" / split / f"{split}{speaker}" / "1"
            for number in (1, 2):
                record(folder / f"{split}{speaker}-1-{number}.flac")
            lines = [f"{split}{speaker}-1-{number} GO\n" for number in (1, 2)]
            (folder / f"{split}{speaker}-1.trans.txt").write_text("".join(lines))
    (root / "an4/veri_test.txt").write_text(
        "0 test/test1/1/test1-1-1.flac test/test2/1/test2-1-1.flac\n"
        "1 test/test1/1/test1-1-1.flac test/test1/1/test1-1-2.flac\n"
    )
    more = [SpeakerList(file=root / "train.txt")]
    corpus = read_corpus(An4Settings(root=root / "an4", more=more), root / "cache")
    assert len(corpus.splits["train"]) == 8
    assert [cut.supervisions[0].text for cut in corpus.splits["train"]].count(None) == 4
    assert list(corpus.pairs) == ["test"]
    assert corpus.pairs["test"][0].other == "test2-1-1"
