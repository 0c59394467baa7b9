"""The file of an untrained student is that of a trained one, in bytes: what is known of it before training is true."""

from pathlib import Path

import numpy as np
import pytest
import torch

from raysearch.exported.latency import Load, file_latency, measure_latency
from raysearch.exported.onnx_file import layout, to_onnx, trace, write_onnx
from raysearch.exported.speech_model import Recogniser
from raysearch.exported.untrained import fitted, shape_digest, untrained, untrained_file
from raysearch.methods.settings import StudentSettings
from raysearch.tasks.head import ChosenHead, CtcHeadConfig

HEAD = CtcHeadConfig(unit="phones", symbols=["AA", "B", "K"], layers=1, width=1)
STUDENT = StudentSettings(depth=2, width=32, heads=2, channels=16, position_kernel=5, front_end="logmel-25hz").encoder()


@pytest.fixture(scope="module")
def content() -> bytes:
    return untrained_file(STUDENT, HEAD, "fp32")


@pytest.mark.parametrize(
    "precision", ["fp32", *(pytest.param(one, marks=pytest.mark.slow) for one in ("int8", "int8-static-conv"))]
)
def test_untrained_file_has_the_bytes_of_a_trained_one(precision, tmp_path: Path) -> None:
    drawn = untrained(STUDENT, HEAD)
    with torch.no_grad():
        for module in (drawn.encoder, drawn.head.module):
            for parameter in module.parameters():
                parameter.copy_(torch.randn_like(parameter))
    trained = Recogniser(drawn.encoder, ChosenHead(drawn.head.config, drawn.head.module, None))
    file = tmp_path / "trained.onnx"
    # Other ranges than those of the untrained one's noise.
    heard = [np.sin(np.arange(16_000, dtype=np.float32))]
    write_onnx(to_onnx(trace(trained)), layout(trained), precision, file, lambda: heard)
    content = untrained_file(STUDENT, HEAD, precision)
    # A zero point above 127 takes a byte more.
    assert abs(len(content) - file.stat().st_size) <= (64 if "static" in precision else 0)
    assert content != file.read_bytes()


def test_file_does_not_tell_what_its_process_made_before(content: bytes) -> None:
    assert content == untrained_file(STUDENT, HEAD, "fp32")
    assert b"in forward" not in content, "lines of code, in frames that are counted"


def test_a_new_norm_does_not_make_the_file_smaller() -> None:
    """The exporter writes equal tensors once: those of norms, as they are built, would be one."""
    weights = [tensor for name, tensor in untrained(STUDENT, HEAD).encoder.state_dict().items() if "norm" in name]
    assert len(weights) > 2
    assert len({tuple(tensor.flatten().tolist()) for tensor in weights}) == len(weights)


def test_digest_tells_all_that_is_in_the_file_apart() -> None:
    known = shape_digest(STUDENT, HEAD, "fp32")
    assert shape_digest(STUDENT, fitted(HEAD, STUDENT), "fp32") == known
    assert shape_digest(STUDENT, HEAD, "int8") != known
    assert shape_digest(STUDENT, HEAD.model_copy(update={"symbols": ["AA", "B", "KK"]}), "fp32") != known
    assert shape_digest(STUDENT.model_copy(update={"norm": "post"}), HEAD, "fp32") != known


def test_disturbed_runs_are_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nine runs, of which three had their core to themselves: those count, not the three that came first."""
    shares_and_ms = [(0.5, 20.0), (0.99, 10.0), (0.4, 30.0), (0.98, 12.0), (0.97, 11.0)]
    made = iter(shares_and_ms)
    monkeypatch.setattr("raysearch.exported.latency._timed", lambda *_: next(made))
    found = measure_latency(lambda *_: None, Load(seconds=1.0), repeats=3)
    assert (found.median_ms, found.disturbed) == (11.0, 0.0)


def test_what_stays_disturbed_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    made = iter([(0.9, 10.0), (0.5, 20.0)] * 100)
    monkeypatch.setattr("raysearch.exported.latency._timed", lambda *_: next(made))
    found = measure_latency(lambda *_: None, Load(seconds=1.0), repeats=4)
    assert (found.median_ms, found.disturbed) == (10.0, 1.0)


def test_a_file_is_timed_on_one_core_which_is_given_back(content: bytes) -> None:
    import os

    before = os.sched_getaffinity(0)
    found = file_latency(content, Load(seconds=1.0), 3, pinned=True)
    assert 0 < found.p5_ms <= found.median_ms <= found.p95_ms
    assert os.sched_getaffinity(0) == before
