"""What was tampered with, mistaken for something else, or is too much: one line that says so, or the right answer."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from raysearch.deploy.runtime.transcribe import OVERLAP_S, WINDOW_S, OnnxModel, log_probs, read_audio

RATE = 16_000


@pytest.fixture
def copied(search, tmp_path: Path) -> Path:
    """The search's folder, to be tampered with; its root is `tmp_path`."""
    return Path(shutil.copytree(search.path, tmp_path / search.name))


def flip(file: Path) -> None:
    """One bit in its middle."""
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def change(file: Path, **values: object) -> None:
    file.write_text(json.dumps({**json.loads(file.read_text()), **values}))


def refused(answer: tuple[int, str, str], fault: str, code: int = 2) -> None:
    assert answer[:2] == (code, ""), answer
    assert len(answer[2].splitlines()) == 1, answer[2]
    assert fault in answer[2]


def test_tampered_model_is_neither_run_nor_verified(raysearch, search, exported: Path, tmp_path: Path) -> None:
    out = shutil.copytree(exported, tmp_path / "out")
    flip(out / "model.onnx")
    soundfile.write(tmp_path / "a.wav", np.zeros(RATE), RATE)
    refused(raysearch("transcribe", out / "model.onnx", tmp_path / "a.wav"), "model.onnx: sha256")
    refused(raysearch("verify", out, "--storage", search.root), "model.onnx: sha256")


def test_tampered_weights_of_an_export_are_refused(raysearch, search, exported: Path, tmp_path: Path) -> None:
    out = shutil.copytree(exported, tmp_path / "out")
    flip(out / "checkpoint/model.safetensors")
    refused(raysearch("verify", out, "--storage", search.root), "checkpoint/model.safetensors: sha256")


def test_weights_changed_after_the_export_are_told(raysearch, exported: Path, copied: Path) -> None:
    flip(copied / "trials/0000/student/model.safetensors")
    code, out, err = raysearch("verify", exported, "--storage", copied.parent)
    assert code == 1
    assert all(line.startswith("verify: ") for line in err.splitlines())
    assert "differs: student/model.safetensors" in out


@pytest.mark.parametrize(
    ("file", "values", "fault"),
    [
        ("student/config.json", {"width": 64}, "expected the weights that the config describes"),
        ("student/config.json", {"widht": 32}, "config.json: widht: unknown key"),
        ("student/config.json", {"width": "wide"}, "config.json: width: 'wide'; expected"),
        ("head-phonemes/head.json", {"width": 64}, "head.safetensors: {"),
        ("head-phonemes/head.json", {"kind": "dance"}, "head.json: kind: 'dance'; expected"),
    ],
)
def test_wrong_config_is_named(raysearch, copied: Path, file: str, values: dict, fault: str) -> None:
    change(copied / "trials/0000" / file, **values)
    refused(raysearch("export", copied.name, 0, "-o", copied / "out", "--storage", copied.parent), fault)


def test_config_that_is_no_document_is_named(raysearch, copied: Path) -> None:
    (copied / "trials/0000/student/config.json").write_text("{")
    words = ("export", copied.name, 0, "-o", copied / "out", "--storage", copied.parent)
    refused(raysearch(*words), "student/config.json: ")


def test_head_of_another_student_is_refused(raysearch, copied: Path) -> None:
    """Trial 1 is deeper."""
    trials = copied / "trials"
    shutil.rmtree(trials / "0000/head-phonemes")
    shutil.copytree(trials / "0001/head-phonemes", trials / "0000/head-phonemes")
    words = ("export", copied.name, 0, "-o", copied / "out", "--storage", copied.parent)
    refused(raysearch(*words), "head of (3, 32) layers and width; expected (2, 32), the encoder's")


@pytest.mark.parametrize("name", ["model.pt", "model.safetensors"])
def test_pickle_is_not_loaded_whatever_its_name(raysearch, copied: Path, name: str) -> None:
    student = copied / "trials/0000/student"
    (student / "model.safetensors").unlink()
    # Loaded, it would leave a file behind.
    code = f"import pickle, pathlib; pickle.dump(Path({str(copied / 'owned')!r}), open({str(student / name)!r}, 'wb'))"
    maker = f"class Path:\n def __init__(s, f): s.f = f\n def __reduce__(s): return open, (s.f, 'w')\n{code}"
    subprocess.run([sys.executable, "-c", maker], check=True)
    words = ("export", copied.name, 0, "-o", copied / "out", "--storage", copied.parent)
    refused(raysearch(*words), "expected a safetensors file")
    assert not (copied / "owned").exists()


def test_trial_without_its_head_is_refused(raysearch, copied: Path) -> None:
    shutil.rmtree(copied / "trials/0000/head-phonemes")
    words = ("export", copied.name, 0, "-o", copied / "out", "--storage", copied.parent)
    refused(raysearch(*words), "head.json: No such file or directory; expected the head that was trained on this")


@pytest.mark.parametrize(
    ("audio", "rate", "fault"),
    [
        (np.zeros((4800, 2)), 48_000, "a.wav: 48000 Hz, 2 channels; expected 16000 Hz mono, as from: ffmpeg"),
        (np.zeros(0), RATE, "a.wav: 0 samples; expected at least 400"),
    ],
)
def test_recording_that_cannot_be_read_is_named(raysearch, exported: Path, tmp_path: Path, audio, rate, fault) -> None:
    soundfile.write(tmp_path / "a.wav", audio, rate)
    refused(raysearch("transcribe", exported / "model.onnx", tmp_path / "a.wav"), fault)


def test_half_an_hour_is_read_in_windows_that_agree(exported: Path, tmp_path: Path) -> None:
    """Speech that repeats with the step of the windows: so must the frames, all but those of the two ends."""
    step_s = WINDOW_S - OVERLAP_S
    period_S = 0.1 * np.random.default_rng(0).standard_normal(step_s * RATE)
    soundfile.write(tmp_path / "a.flac", np.tile(period_S, 70)[: 1800 * RATE], RATE)
    audio_S = read_audio(tmp_path / "a.flac")
    model = OnnxModel(exported / "model.onnx", threads=1)
    found_TV = log_probs(model.run, model.layout, audio_S)
    step = step_s * RATE // model.layout.hop_samples
    assert abs(len(found_TV) - len(audio_S) // model.layout.hop_samples) <= 1
    inner_TV = found_TV[step : 68 * step]
    assert np.abs(inner_TV - np.tile(inner_TV[:step], (67, 1))).max() < 1e-6


def test_long_recording_is_announced(raysearch, exported: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", np.random.default_rng(0).normal(0, 0.1, 40 * RATE), RATE)
    code, out, err = raysearch("transcribe", exported / "model.onnx", tmp_path / "a.flac")
    assert (code, len(out.splitlines()), err) == (0, 1, f"{tmp_path}/a.flac: 40 s; read in windows\n")
