"""Frame arithmetic: identities that hold for every length, and the modules' own output."""

import math

import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raysearch.encoder.config import Blocks, EncoderConfig, LogMel, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import conv_frames, frames, valid_mask
from tests.encoder.small_encoders import encoder_configs

BLOCKS = Blocks(count=1, heads=2, head_width=8, ffn=16)
AT_50_HZ = EncoderConfig(front_end=Waveform(), width=16, blocks=BLOCKS)
AT_25_HZ = EncoderConfig(front_end=LogMel(), width=16, blocks=BLOCKS)


@given(samples=st.integers(400, 400_000))
def test_frame_rates_are_multiples_of_each_other(samples: int) -> None:
    at_100_hz = conv_frames(LogMel(), samples)[0]
    assert at_100_hz == (samples - 400) // 160 + 1
    assert frames(AT_50_HZ, samples) == (samples - 400) // 320 + 1 == math.ceil(at_100_hz / 2)
    assert frames(AT_25_HZ, samples) == math.ceil(at_100_hz / 4)
    for strides in ([2], [2, 1], [1, 2]):
        n = len(strides)
        front_end = LogMel(channels=[8] * n, kernels=[5] * n, strides=strides)
        assert conv_frames(front_end, samples)[-1] == frames(AT_50_HZ, samples)


def test_frames_of_known_lengths() -> None:
    table = {250_000: (781, 391), 16_000: (49, 25), 719: (1, 1), 720: (2, 1), 400: (1, 1), 399: (0, 0), 0: (0, 0)}
    assert {n: (frames(AT_50_HZ, n), frames(AT_25_HZ, n)) for n in table} == table


@given(samples=st.lists(st.integers(0, 50_000), min_size=1))
def test_frames_of_a_tensor_equals_frames_of_ints(samples: list[int]) -> None:
    for config in (AT_50_HZ, AT_25_HZ):
        assert frames(config, torch.tensor(samples)).tolist() == [frames(config, n) for n in samples]


@settings(max_examples=40, deadline=None)
@given(config=encoder_configs(), samples=st.integers(400, 3000))
def test_frames_equals_the_output_of_the_module(config: EncoderConfig, samples: int) -> None:
    assume(frames(config, samples))
    encoder = Encoder(config)
    output_BTD = encoder(torch.randn(1, samples), torch.tensor([samples])).output_BTD
    assert output_BTD.shape[1] == frames(config, samples)


def test_valid_mask_is_true_for_so_many_frames_from_the_left() -> None:
    mask_BT = valid_mask(torch.tensor([0, 2, 4, 5]), 4)
    assert mask_BT.int().tolist() == [[0, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 1], [1, 1, 1, 1]]
    assert mask_BT.dtype == torch.bool


def test_encoded_knows_its_valid_frames() -> None:
    encoded = Encoder(AT_25_HZ)(torch.randn(2, 16_000), torch.tensor([16_000, 8_000]))
    assert encoded.valid_BT.sum(1).tolist() == encoded.frames_B.tolist() == [25, 12]
    assert encoded.valid_BT.shape == encoded.output_BTD.shape[:2]
