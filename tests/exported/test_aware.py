"""Quantisation-aware training: a student computes what its file of 8 bits computes, and learns through the rounding."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from raysearch.encoder.config import LogMel
from raysearch.encoder.encoder import Encoder
from raysearch.exported.onnx_file import to_onnx, trace_module, write_graph
from raysearch.exported.settings import DeploySettings, Precision
from raysearch.training.fake_quantised import fake_quantised
from raysearch.training.quantised import Quantised
from tests.deploy.toys import encoder_of, recordings

HEARD = recordings(8_000)
PRECISIONS: list[Precision] = ["int8", "int8-static", "int8-static-conv"]
FRONT_END = LogMel(channels=[16] * 2)


class LastState(nn.Module):
    """An encoder alone: with a head, its rounding would stand beside that of the encoder."""

    def __init__(self, encoder: Encoder) -> None:
        super().__init__()
        self.encoder = encoder

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        encoded = self.encoder(audio_BS, samples_B)
        return encoded.output_BTD, encoded.frames_B


def bits(precision: Precision) -> Quantised:
    quantised = DeploySettings(precision=precision, aware=0.5).quantised
    assert quantised
    return quantised


@pytest.fixture(scope="module")
def model() -> LastState:
    torch.set_num_threads(1)
    return LastState(encoder_of(FRONT_END)).eval()


@pytest.fixture(scope="module")
def graph(model: LastState) -> onnx.ModelProto:
    return to_onnx(trace_module(model, (torch.zeros(2, 8_000), torch.tensor([8_000, 6_345]))))


@pytest.mark.parametrize("precision", PRECISIONS)
def test_student_computes_what_its_file_does(
    model: LastState, graph: onnx.ModelProto, precision: Precision, tmp_path: Path
) -> None:
    audio_BS, samples_B = HEARD[0][None], np.array([len(HEARD[0])])
    given = torch.from_numpy(audio_BS), torch.from_numpy(samples_B)
    # Static ranges are those of the recording itself, as they are of the batch while a student learns.
    write_graph(graph, {}, precision, tmp_path / "model.onnx", lambda: HEARD)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    file_BTD = session.run(None, {"audio": audio_BS, "samples": samples_B})[0]
    with torch.no_grad():
        exact_BTD = model(*given)[0]
        with fake_quantised(model.encoder, bits(precision)):
            rounded_BTD = model(*given)[0]
        assert torch.equal(model(*given)[0], exact_BTD), "it is over with the context"
    off, off_file = (np.abs(found_BTD.numpy() - file_BTD).mean() for found_BTD in (rounded_BTD, exact_BTD))
    assert off_file > 1e-3, "8 bits are seen"
    # A value on the edge between two steps may fall to either side, and all behind a convolution follow it.
    assert off < (0.5 if precision == "int8-static-conv" else 0.1) * off_file


@pytest.mark.parametrize("precision", PRECISIONS)
def test_gradients_pass_the_rounding(precision: Precision) -> None:
    encoder = encoder_of(FRONT_END)
    audio_BS, samples_B = torch.from_numpy(HEARD[0][None]), torch.tensor([len(HEARD[0])])
    found = []
    for rounded in (False, True):
        encoder.zero_grad()
        output_BTD = encoder(audio_BS, samples_B).output_BTD
        if rounded:
            with fake_quantised(encoder, bits(precision)):
                output_BTD = encoder(audio_BS, samples_B).output_BTD
        output_BTD.square().mean(1).cumsum(1).sum().backward()
        asked = {name: weight.grad for name, weight in encoder.named_parameters() if weight.grad is not None}
        found.append(torch.cat([grad.flatten().clone() for grad in asked.values()]))
    exact, through = found
    assert exact.shape == through.shape, "each weight that has a gradient in floats has one"
    assert not torch.equal(exact, through)
    assert torch.cosine_similarity(exact, through, dim=0) > 0.9


def test_nothing_but_the_student_is_rounded() -> None:
    """Heads of the method and the teacher run in the same pass."""
    encoder, other = encoder_of(FRONT_END), nn.Linear(16, 16)
    x_BTD = torch.randn(2, 3, 16)
    with torch.no_grad():
        exact = [layer(x_BTD) for layer in (encoder.projection, other)]
        with fake_quantised(encoder, bits("int8-static")):
            rounded = [layer(x_BTD) for layer in (encoder.projection, other)]
    assert [torch.equal(one, two) for one, two in zip(exact, rounded, strict=True)] == [False, True]
