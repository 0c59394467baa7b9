"""Speech Commands in the twelve classes of SUPERB, laid out as its two archives unpack."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raysearch.corpora.check import check_corpus
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.speech_commands import SILENCE, UNKNOWN, WORDS, read_twelve_commands
from raysearch.corpora.settings import TwelveCommandsSettings
from raysearch.errors import InputError
from tests.corpora.speech_trees import noise, write_flac

OTHERS = ("bed", "cat", "dog")


def twelve_commands(root: Path) -> Path:
    """The ten words and three others of four speakers, `c` for dev and `d` for test, and two noises of 12 and 23 s."""
    for seed, name in enumerate(f"{word}/{who}_nohash_0.wav" for word in (*WORDS, *OTHERS) for who in "abcd"):
        write_flac(root / name, noise(0.5, seed))
    for name, seconds in (("doing_the_dishes", 12.4), ("pink_noise", 23.0)):
        write_flac(root / "_background_noise_" / f"{name}.wav", noise(seconds, int(seconds)))
    (root / "_background_noise_" / "README.md").write_text("Noise.\n")
    for who, name in (("c", "validation_list.txt"), ("d", "testing_list.txt")):
        (root / name).write_text("".join(f"{word}/{who}_nohash_0.wav\n" for word in (*WORDS, *OTHERS)))
    return root


def published_test(root: Path) -> Path:
    """Two cuts of each class. One silence has no sound in it at all."""
    names = [f"{word}/{who}_nohash_1.wav" for word in WORDS for who in "de"]
    names += [f"{UNKNOWN}/cat_d_nohash_1.wav.wav", f"{UNKNOWN}/bed_e_nohash_1.wav.wav", f"{SILENCE}/104.wav"]
    for seed, name in enumerate(names, start=500):
        write_flac(root / name, noise(0.5, seed))
    write_flac(root / SILENCE / "7.wav", np.zeros(16_000))
    return root


def classes(corpus: Corpus, split: str) -> Counter[str]:
    return Counter(cut.supervisions[0].custom["label"] for cut in corpus.splits[split])


def test_ten_words_any_other_and_silence_are_the_classes(tmp_path: Path) -> None:
    corpus = read_twelve_commands(TwelveCommandsSettings(root=twelve_commands(tmp_path)), None)
    # Of 12 and 23 seconds of noise the last 1 and 2 are dev, and as many before them are test.
    assert classes(corpus, "train") == dict.fromkeys(WORDS, 2) | {UNKNOWN: 6, SILENCE: 10 + 19}
    for split in ("dev", "test"):
        # A word has one cut on average, and so has what is none of the ten.
        assert classes(corpus, split) == dict.fromkeys(WORDS, 1) | {UNKNOWN: 1, SILENCE: 1 + 2}
    (left_out,) = (one for one in check_corpus(corpus).faults if "other words" in one.reason)
    assert (left_out.count, left_out.first[0]) == (4, "cat/c_nohash_0")
    again = read_twelve_commands(TwelveCommandsSettings(root=tmp_path), None)
    assert again.fingerprint == corpus.fingerprint


def test_silence_is_a_second_of_its_noise_and_in_one_split(tmp_path: Path) -> None:
    corpus = read_twelve_commands(TwelveCommandsSettings(root=twelve_commands(tmp_path)), None)
    noises = {path.stem: soundfile.read(path, dtype="float32")[0] for path in tmp_path.glob("_background_noise_/*.wav")}
    heard = []
    for split, cuts in corpus.splits.items():
        for cut in cuts:
            if cut.supervisions[0].custom["label"] == SILENCE:
                name, second = cut.id.removeprefix("_background_noise_/").split("-")
                start = 16_000 * int(second)
                np.testing.assert_array_equal(corpus.audio.audio(cut), noises[name][start : start + 16_000])
                heard.append((name, int(second), split))
    assert len({(name, second) for name, second, _ in heard}) == len(heard) == 12 + 23
    assert {second for name, second, split in heard if (name, split) == ("pink_noise", "dev")} == {21, 22}


def test_published_test_set_takes_the_place_of_the_list(tmp_path: Path) -> None:
    settings = TwelveCommandsSettings(root=twelve_commands(tmp_path / "a"), test_root=published_test(tmp_path / "b"))
    corpus = read_twelve_commands(settings, None)
    # Nothing is thinned out, and silence that is silent is no fault.
    assert classes(corpus, "test") == dict.fromkeys(WORDS, 2) | {UNKNOWN: 2, SILENCE: 2}
    assert classes(corpus, "train")[SILENCE] == 11 + 21
    speakers = {cut.id: cut.supervisions[0].speaker for cut in corpus.splits["test"]}
    assert (speakers[f"{UNKNOWN}/cat_d_nohash_1.wav"], speakers["yes/e_nohash_1"]) == ("d", "e")
    assert speakers[f"{SILENCE}/104"] is None
    reasons = Counter(fault.reason for fault in corpus.faults)
    assert reasons == {"test is that of test_root": 13, "more other words than are wanted of one class": 2}


def test_word_that_is_silent_stays_a_fault(tmp_path: Path) -> None:
    root = twelve_commands(tmp_path)
    write_flac(root / "yes/c_nohash_0.wav", np.zeros(16_000))
    with pytest.raises(InputError, match=r"split dev: 1 of 14 cuts cannot be used .*yes/c_nohash_0 \(silent"):
        read_twelve_commands(TwelveCommandsSettings(root=root), None)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda a, b: (a / "go").rename(a / "gone"), r"^corpus.root: .*: no folder go; expected recordings of each of"),
        (lambda a, b: (a / "testing_list.txt").unlink(), r"testing_list.txt: .*expected a list"),
        (lambda a, b: (b / SILENCE).rename(b / "quiet"), r"^corpus.test_root: .*: no folder _silence_; expected"),
        (
            lambda a, b: [path.unlink() for path in a.glob("_background_noise_/*.wav")],
            r"^corpus.root: .*_background_noise_: no usable second of noise; expected",
        ),
    ],
    ids=["word", "list", "class", "noise"],
)
def test_what_is_missing_is_said_in_a_line(tmp_path: Path, spoil, said) -> None:
    a, b = twelve_commands(tmp_path / "a"), published_test(tmp_path / "b")
    spoil(a, b)
    with pytest.raises(InputError, match=said) as caught:
        read_twelve_commands(TwelveCommandsSettings(root=a, test_root=b), None)
    assert "\n" not in str(caught.value)


def test_noise_at_another_rate_is_left_out_while_there_is_some(tmp_path: Path) -> None:
    root = twelve_commands(tmp_path)
    soundfile.write(root / "_background_noise_" / "pink_noise.wav", noise(0.3), 8_000)
    corpus = read_twelve_commands(TwelveCommandsSettings(root=root), None)
    assert "8000 Hz; expected 16000 Hz" in {fault.reason for fault in corpus.faults}
    assert classes(corpus, "train")[SILENCE] == 10
