"""Tiny corpora in their true layouts: read, prepared once, and read again from the manifests."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from raysearch.cli import app
from raysearch.corpora.prepare import KINDS, corpus_settings, prepare
from raysearch.corpora.readers.commonvoice import read_commonvoice
from raysearch.corpora.readers.speech_commands import read_speech_commands
from raysearch.corpora.readers.table import read_corpus
from raysearch.corpora.settings import CommonVoiceSettings, ManifestSettings, SpeechCommandsSettings, SplitManifests
from raysearch.errors import InputError
from tests.corpora.readers.test_audio_snips import audio_snips
from tests.corpora.readers.test_speech_commands import twelve_commands
from tests.corpora.speech_trees import noise, write_corpus, write_flac


def speech_commands(root: Path) -> Path:
    """Two words of four speakers, noise, and the two lists."""
    for seed, name in enumerate(f"{word}/{who}_nohash_0.wav" for word in ("yes", "no") for who in "abcd"):
        write_flac(root / name, noise(1.0, seed))
    write_flac(root / "_background_noise_/doing_the_dishes.wav", noise(3.0, 99))
    (root / "validation_list.txt").write_text("yes/c_nohash_0.wav\nno/c_nohash_0.wav\n")
    (root / "testing_list.txt").write_text("yes/d_nohash_0.wav\nno/d_nohash_0.wav\n")
    return root


def common_voice(root: Path, suffix: str = "mp3", rate_hz: int = 48_000) -> Path:
    """Two clips a split, with the columns of release 17."""
    (root / "clips").mkdir(parents=True)
    columns = ["client_id", "path", "sentence_id", "sentence", "up_votes", "down_votes", "age", "gender", "accents"]
    for seed, split in enumerate(("train", "dev", "test")):
        lines = ["\t".join(columns)]
        for number in range(2):
            name = f"common_voice_en_{split}{number}.{suffix}"
            time_S = np.arange(rate_hz) / rate_hz
            tone_S = 0.3 * np.sin(2 * np.pi * (300 + 100 * seed + 50 * number) * time_S)
            soundfile.write(root / "clips" / name, tone_S, rate_hz)
            lines.append("\t".join([split, name, "0", "He said: \"Stop, don't", "2", "0", "", "", ""]))
        (root / f"{split}.tsv").write_text("\n".join(lines) + "\n")
    return root


def voxceleb(root: Path) -> Path:
    """Three speakers of two utterances in `wav`, and the lists."""
    speakers = {"train": ("id1", "id2"), "dev": ("id3", "id4"), "test": ("id5", "id6")}
    for seed, who in enumerate(one for pair in speakers.values() for one in pair):
        for number in range(2):
            write_flac(root / "wav" / who / "video" / f"{number}.wav", noise(1.0, 10 * seed + number))
    train = [f"{who} {who}/video/{number}.wav" for who in speakers["train"] for number in range(2)]
    (root / "train_list.txt").write_text("\n".join(train))
    for split in ("dev", "test"):
        one, other = speakers[split]
        lines = [f"1 {who}/video/0.wav {who}/video/1.wav" for who in (one, other)]
        (root / f"veri_{split}.txt").write_text("\n".join([*lines, f"0 {one}/video/0.wav {other}/video/0.wav"]))
    return root


def slurp(root: Path) -> Path:
    (root / "dataset" / "slurp").mkdir(parents=True)
    for seed, split in enumerate(("train", "devel", "test")):
        write_flac(root / "audio" / "slurp_real" / f"{split}.flac", noise(0.5, seed))
        line = {
            "sentence": "wake me at nine",
            "scenario": "alarm",
            "action": "set",
            "tokens": [{"surface": word} for word in ["wake", "me", "at", "nine"]],
            "entities": [{"type": "time", "span": [3]}],
            "recordings": [{"file": f"{split}.flac"}],
        }
        (root / "dataset" / "slurp" / f"{split}.jsonl").write_text(json.dumps(line))
    return root


def labelled(root: Path) -> Path:
    for split, seed in (("train", 0), ("dev", 10), ("test", 20)):
        for number, label in enumerate(("cat", "dog")):
            write_flac(root / split / label / "0.flac", noise(0.5, seed + number))
    return root


def librispeech(root: Path) -> Path:
    write_corpus(root / "plain")
    for split, folder in (("train", "train-clean-100"), ("dev", "dev-clean"), ("test", "test-clean")):
        (root / "plain" / split).rename(root / folder)
    return root


LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "librispeech": librispeech,
    "an4": write_corpus,
    "voxceleb": voxceleb,
    "slurp": slurp,
    "audio-snips": audio_snips,
    "speech-commands": speech_commands,
    "speech-commands-12": twelve_commands,
    "commonvoice": common_voice,
    "labelled": labelled,
}


def manifests(folder: Path) -> ManifestSettings:
    return ManifestSettings(
        splits=SplitManifests(**{split: folder / f"{split}.jsonl.gz" for split in ("train", "dev", "test")})
    )


@pytest.mark.parametrize("kind", LAYOUTS)
def test_prepared_corpus_is_the_corpus(tmp_path: Path, kind: str) -> None:
    assert kind in KINDS
    settings = corpus_settings(kind, LAYOUTS[kind](tmp_path / "raw"), {})
    out = tmp_path / "out"
    assert prepare(settings, out) is not None
    again = read_corpus(manifests(out), tmp_path / "cache")
    written = json.loads((out / "corpus.json").read_text())
    assert again.fingerprint == written["fingerprint"]
    assert {one["split"]: one["cuts"] for one in written["splits"]} == {s: len(c) for s, c in again.splits.items()}
    if kind != "commonvoice":
        assert again.pairs == read_corpus(settings, tmp_path / "cache").pairs
    assert prepare(settings, out) is None, "once"


def test_pairs_of_speakers_are_kept(tmp_path: Path) -> None:
    prepare(corpus_settings("voxceleb", voxceleb(tmp_path / "raw"), {}), tmp_path / "out")
    pairs = read_corpus(manifests(tmp_path / "out"), tmp_path / "cache").pairs["test"]
    assert [pair.same for pair in pairs] == [True, True, False]
    (tmp_path / "out" / "test.pairs").write_text("2\ta\tb\n")
    with pytest.raises(InputError, match=r"test.pairs: line 1: .*expected 0 or 1 and two cuts"):
        read_corpus(manifests(tmp_path / "out"), tmp_path / "cache")


def test_other_corpus_in_a_used_folder_is_refused(tmp_path: Path) -> None:
    prepare(corpus_settings("labelled", labelled(tmp_path / "raw"), {}), tmp_path / "out")
    with pytest.raises(InputError, match="another corpus was prepared here"):
        prepare(corpus_settings("labelled", labelled(tmp_path / "raw"), {"min_s": 0.2}), tmp_path / "out")


def test_speech_commands_then_lists_decide_and_noise_is_no_word(tmp_path: Path) -> None:
    corpus = read_speech_commands(SpeechCommandsSettings(root=speech_commands(tmp_path)), None)
    assert {split: len(cuts) for split, cuts in corpus.splits.items()} == {"train": 4, "dev": 2, "test": 2}
    cut = corpus.splits["dev"]["yes/c_nohash_0"]
    assert (cut.supervisions[0].custom, cut.supervisions[0].speaker) == ({"label": "yes"}, "c")


def test_listed_recording_that_is_missing_is_a_fault(tmp_path: Path) -> None:
    root = speech_commands(tmp_path)
    (root / "yes" / "d_nohash_0.wav").unlink()
    with pytest.raises(InputError, match=r"split test: 1 of 2 cuts cannot be used .*yes/d_nohash_0"):
        read_speech_commands(SpeechCommandsSettings(root=root), None)


def test_speech_commands_without_a_list_is_refused(tmp_path: Path) -> None:
    root = speech_commands(tmp_path)
    (root / "testing_list.txt").unlink()
    with pytest.raises(InputError, match=r"testing_list.txt: .*expected a list"):
        read_speech_commands(SpeechCommandsSettings(root=root), None)


def test_common_voice_wav_at_16_khz_needs_no_preparing(tmp_path: Path) -> None:
    corpus = read_commonvoice(CommonVoiceSettings(root=common_voice(tmp_path / "en", "wav", 16_000)), None)
    supervision = corpus.splits["dev"]["common_voice_en_dev0"].supervisions[0]
    assert (supervision.text, supervision.speaker) == ("HE SAID STOP DON'T", "dev")


def test_common_voice_mp3_unprepared_is_refused_for_its_rate(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="48000 Hz; expected 16000 Hz"):
        read_commonvoice(CommonVoiceSettings(root=common_voice(tmp_path / "en")), None)


def test_prepared_mp3_is_the_tone_at_16_khz(tmp_path: Path) -> None:
    prepare(corpus_settings("commonvoice", common_voice(tmp_path / "en"), {}), tmp_path / "out")
    audio_S, rate_hz = soundfile.read(tmp_path / "out" / "clips" / "common_voice_en_train0.flac")
    assert rate_hz == 16_000
    peak_hz = np.abs(np.fft.rfft(audio_S)).argmax() * rate_hz / len(audio_S)
    assert peak_hz == pytest.approx(300, abs=2)


def test_clip_that_is_no_audio_is_a_fault(tmp_path: Path) -> None:
    root = common_voice(tmp_path / "en")
    (root / "clips" / "common_voice_en_test1.mp3").write_bytes(b"nothing")
    settings = corpus_settings("commonvoice", root, {"max_skipped": 0.5})
    checked = prepare(settings, tmp_path / "out")
    assert checked is not None
    assert [(group.count, group.first) for group in checked.faults] == [(1, ("common_voice_en_test1",))]


def test_clips_that_cannot_be_converted_say_why_and_the_decoder_says_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    root = common_voice(tmp_path / "en")
    broken = bytearray((root / "clips" / "common_voice_en_test1.mp3").read_bytes())
    broken[len(broken) // 3 :] = bytes(len(broken) * 2 // 3)
    # Common Voice has had hundreds of these: nothing at all, no audio, and audio that ends in nothing.
    (root / "clips" / "common_voice_en_train1.mp3").write_bytes(b"")
    (root / "clips" / "common_voice_en_dev1.mp3").write_bytes(bytes(4096))
    (root / "clips" / "common_voice_en_test1.mp3").write_bytes(broken)
    with pytest.raises(InputError, match=r"split train: 1 of 2 cuts .*train1 \(file is empty \(0 bytes\)\)"):
        prepare(corpus_settings("commonvoice", root, {}), tmp_path / "strict")
    checked = prepare(corpus_settings("commonvoice", root, {"max_skipped": 0.5}), tmp_path / "out")
    assert checked is not None
    reasons = {group.first[0]: group.reason for group in checked.faults}
    assert reasons["common_voice_en_dev1"] == "does not decode: no audio in it"
    assert "common_voice_en_train1" in reasons
    assert capfd.readouterr().err == ""


def test_table_without_a_column_is_refused(tmp_path: Path) -> None:
    root = common_voice(tmp_path / "en")
    (root / "dev.tsv").write_text("path\tsentence\n")
    with pytest.raises(InputError, match=r"dev.tsv: no column client_id; expected client_id, path, sentence"):
        read_commonvoice(CommonVoiceSettings(root=root), None)


def test_verb_prints_what_goes_into_a_document(tmp_path: Path) -> None:
    words = ["corpus", "prepare", "labelled", str(labelled(tmp_path / "raw")), "-o", str(tmp_path / "out")]
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.output
    assert f"train: {tmp_path / 'out' / 'train.jsonl.gz'}" in found.output.splitlines()[-1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["timit", "."], "KIND: timit; expected one of an4, librispeech"),
        (["labelled", "/nowhere"], "corpus.root: /nowhere: no such folder"),
        (["librispeech", ".", "--set", "rooot=1"], "corpus.rooot: unknown key"),
    ],
)
def test_bad_input_is_one_line(tmp_path: Path, words: list[str], said: str) -> None:
    found = CliRunner().invoke(app, ["corpus", "prepare", *words, "-o", str(tmp_path / "out")])
    assert isinstance(found.exception, InputError)
    assert said in str(found.exception)
