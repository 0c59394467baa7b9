"""The closed form is the oracle: it knows nothing of graphs."""

import onnx
import pytest
import torch
from torch import nn

from raysearch.encoder import cost
from raysearch.encoder.config import Block, EncoderConfig, LogMel, PositionConv, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.exported.onnx_cost import graph_macs
from raysearch.exported.onnx_file import to_onnx, trace
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.ctc.tokens import CtcHead
from raysearch.tasks.head import ChosenHead, CtcHeadConfig
from tests.encoder.small_encoders import thin

UNEQUAL = [Block(heads=2, head_width=8, ffn=24), Block(heads=3, head_width=4, ffn=0)]


def kept(head: CtcHead) -> ChosenHead:
    layers, width = len(head.mix_L), head.weight_VD.shape[1]
    return ChosenHead(CtcHeadConfig(unit="phones", symbols=list("abcdef"), layers=layers, width=width), head, None)


@pytest.mark.parametrize(
    "front_end",
    [
        LogMel(bins=20, channels=[8, 12]),
        pytest.param(Waveform(channels=[8] * 7), marks=pytest.mark.slow),
        Waveform(channels=[8] * 7, norm="layer"),
    ],
)
def test_graph_macs_equal_the_closed_form(front_end) -> None:
    position_conv = PositionConv(kernel=6, groups=4)
    assert_counted(EncoderConfig(front_end=front_end, width=16, position_conv=position_conv, blocks=UNEQUAL))


@pytest.mark.parametrize(
    "repeated", [pytest.param(None, marks=pytest.mark.slow), pytest.param(False, marks=pytest.mark.slow), True]
)
def test_graph_macs_of_reused_maps_and_fewer_frames_equal_the_closed_form(repeated) -> None:
    assert_counted(thin("post", repeated))


def assert_counted(config: EncoderConfig) -> None:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    head = CtcHead(3, 16, 7)
    nn.init.normal_(head.weight_VD)
    recogniser = Recogniser(Encoder(config).eval(), kept(head))
    model: onnx.ModelProto = to_onnx(trace(recogniser))
    for samples in (recogniser.min_samples, 16_000, 48_077):
        found = graph_macs(model, samples)
        assert found.encoder == cost.macs(config, samples)
        assert found.head == frames(config, samples) * 16 * 7
