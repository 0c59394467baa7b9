"""What the functions of the face take alike."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from pathlib import Path

import pytest

from raysearch.api.arguments import aloud, choices, place, storage_or_default, tracking_or_default
from raysearch.errors import InputError


def test_what_is_said_is_heard_while_lanes_run(capsys: pytest.CaptureFixture[str]) -> None:
    say = aloud(print)
    with redirect_stdout(io.StringIO()) as dropped:
        print("Ray's")
        say("ours")
    assert dropped.getvalue() == "Ray's\n"
    assert capsys.readouterr().out == "ours\n"


def test_storage_and_tracking_are_named_or_the_environments(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("RAYSEARCH_STORAGE", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    assert storage_or_default(None) is None
    assert tracking_or_default(None) is None
    assert place(None, "n").path == tmp_path / "searches" / "n"
    monkeypatch.setenv("RAYSEARCH_STORAGE", str(tmp_path / "there"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://mlflow")
    assert place(None, "n").path == tmp_path / "there" / "n"
    assert place(tmp_path / "here", "n").path == tmp_path / "here" / "n"
    assert tracking_or_default(None) == "http://mlflow"
    assert tracking_or_default("sqlite:///x") == "sqlite:///x"


def test_words_are_taken_once_and_unknown_ones_refused() -> None:
    assert choices("--format", "onnx", ("onnx", "pt2")) == ["onnx"]
    assert choices("--format", ["pt2", "onnx", "pt2"], ("onnx", "pt2")) == ["pt2", "onnx"]
    with pytest.raises(InputError, match="--format: tflite; expected one of onnx, pt2"):
        choices("--format", ["onnx", "tflite"], ("onnx", "pt2"))
