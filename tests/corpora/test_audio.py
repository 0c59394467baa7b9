"""Decoding against soundfile; verdicts that are kept, and dropped when a file changes."""

from __future__ import annotations

import errno
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raysearch.corpora import audio as module
from raysearch.corpora.audio import decode, decode_speech, verdicts_on
from tests.corpora.speech_trees import noise, write_flac


def test_decode_16_bit_equals_soundfile(tmp_path: Path) -> None:
    path = write_flac(tmp_path / "a.flac", noise(0.5))
    np.testing.assert_array_equal(decode(path), soundfile.read(path, dtype="int16")[0])


def test_decode_float_file_is_scaled_and_clipped(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.array([0.5, -0.25, 1.5, -1.5]), 16_000, subtype="FLOAT")
    assert decode(tmp_path / "a.wav").tolist() == [16_384, -8_192, 32_767, -32_768]


def test_verdicts_digests_agree_for_the_same_samples_only(tmp_path: Path) -> None:
    same = [write_flac(tmp_path / f"{name}.flac", noise(0.2)) for name in "ab"]
    other = write_flac(tmp_path / "c.flac", noise(0.2, seed=1))
    verdicts = verdicts_on([*same, other], None)
    assert verdicts[same[0]].digest == verdicts[same[1]].digest != verdicts[other].digest
    assert verdicts[other].samples == 3_200


def test_verdict_on_a_file_that_is_gone_says_so(tmp_path: Path) -> None:
    (verdict,) = verdicts_on([tmp_path / "gone.flac"], None).values()
    assert verdict.fault == "cannot be read: No such file or directory"


def test_verdicts_decode_again_only_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [write_flac(tmp_path / f"{name}.flac", noise(0.2)) for name in "ab"]
    cache = tmp_path / "cache" / "verdicts.json"
    first = verdicts_on(paths, cache)
    decoded: list[Path] = []
    read = module._read
    monkeypatch.setattr(module, "_read", lambda path: (decoded.append(path), read(path))[1])
    assert verdicts_on(paths, cache) == first
    assert decoded == []
    write_flac(paths[1], noise(0.3))
    assert verdicts_on(paths, cache)[paths[1]].samples == 4_800
    assert decoded == [paths[1]]


def test_verdicts_need_no_place_to_be_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_flac(tmp_path / "a.flac", noise(0.2))
    errors = [errno.EROFS, errno.ENOSPC]

    def refuse(file: Path, content: str) -> None:
        raise OSError(errors[0], "", str(file))

    monkeypatch.setattr("raysearch.corpora.audio.write_whole", refuse)
    assert verdicts_on([path], tmp_path / "verdicts.json") == verdicts_on([path], None)
    del errors[0]
    with pytest.raises(OSError):  # a full disk is told
        verdicts_on([path], tmp_path / "verdicts.json")


@pytest.mark.parametrize("torn", ["", '{"a": [[1, 2], {"samp', "[]", '{"a": 3}'])
def test_verdicts_survive_a_torn_cache(tmp_path: Path, torn: str) -> None:
    path, cache = write_flac(tmp_path / "a.flac", noise(0.2)), tmp_path / "verdicts.json"
    cache.write_text(torn)
    assert verdicts_on([path], cache) == verdicts_on([path], None) == verdicts_on([path], cache)


@pytest.mark.parametrize(
    ("sample", "fault"),
    [
        (float("nan"), "samples that are not numbers"),
        (float("inf"), "samples that are not numbers"),
        (-3_012.0, "peak 3012; expected at most 1"),
        (1.5, None),
    ],
)
def test_verdict_on_float_samples_that_are_no_speech(tmp_path: Path, sample: float, fault: str | None) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, np.append(noise(0.2), sample), 16_000, subtype="FLOAT")
    assert verdicts_on([path], None)[path].fault == fault


def test_verdict_on_a_file_that_was_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "a.wav"
    soundfile.write(path, noise(0.3), 16_000, subtype="PCM_16")
    assert verdicts_on([path], None)[path].fault is None
    path.write_bytes(path.read_bytes()[: 44 + 4_000])
    assert verdicts_on([path], None)[path].fault == "header says 4,800 samples, 2,000 there"


@pytest.mark.parametrize(
    ("audio", "rate_hz", "fault"),
    [
        (np.full(8_000, np.nan), 16_000, "samples that are not numbers"),
        (np.full(8_000, 3_012.0), 16_000, "peak 3012; expected at most 1"),
        (noise(0.5), 8_000, "8000 Hz; expected 16000 Hz"),
        (np.stack([noise(0.5)] * 2, axis=1), 16_000, "2 channels; expected 1"),
        (noise(0.2), 16_000, "audio ends before the cut does"),
    ],
)
def test_recording_in_an_archive_is_looked_at_as_a_file_is(audio: np.ndarray, rate_hz: int, fault: str) -> None:
    file = BytesIO()
    soundfile.write(file, audio, rate_hz, format="WAV", subtype="FLOAT")
    file.seek(0)
    with pytest.raises(ValueError, match=fault):
        decode_speech(file, 0, 4_000)


def test_recording_in_an_archive_that_is_sound_is_decoded(tmp_path: Path) -> None:
    path = write_flac(tmp_path / "a.flac", noise(0.5))
    np.testing.assert_array_equal(decode_speech(BytesIO(path.read_bytes()), 100, 400), decode(path, 100, 400))
    with pytest.raises(ValueError, match="does not decode: "):
        decode_speech(BytesIO(b"no audio at all"), 0, 400)
