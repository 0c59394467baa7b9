"""Every kind of encoder gives on the device what it gives on a CPU in double precision, and drifts little in bf16.

Shapes: B batch, S samples, T frames, D width.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gpu_checks.check import Found, apart
from gpu_checks.device import Setting
from raysearch.encoder.build import build_encoder
from raysearch.encoder.config import (
    AnyConfig,
    Blocks,
    ConvConfig,
    EncoderConfig,
    FrontEnd,
    LogMel,
    PositionConv,
    RelativePositions,
    Waveform,
    Whisper,
)
from raysearch.encoder.encoder import Encoder
from raysearch.training.precision import autocast

FP32_TOLERANCE = 1e-4
"""Rounding of fp32 over 12 blocks gives a few parts in a million, and logarithms of faint mel bins some more."""
BF16_TOLERANCE = 0.1
"""bf16 has 8 bits, so each operation is wrong by up to 0.4 %, and over a hundred follow one another."""


def kinds(tiny: bool, blocks: int | None = None) -> dict[str, AnyConfig]:
    """An encoder of every kind. They are as wide and deep as HuBERT Base, or tiny, or have so many blocks."""
    width, depth, channels = (64, blocks or 2, 16) if tiny else (768, blocks or 12, 512)

    def transformer(front_end: FrontEnd, norm: str = "post", **more: object) -> EncoderConfig:
        blocks = Blocks(count=depth, heads=width // 64, head_width=64, ffn=4 * width)
        fields = {"position_conv": PositionConv(), **more}
        return EncoderConfig(front_end=front_end, width=width, norm=norm, blocks=blocks, **fields)

    layer = Waveform(channels=[channels] * 7, norm="layer", bias=True, normalise=True)
    whisper = Whisper(channels=[channels, width])
    return {
        "waveform group": transformer(Waveform(channels=[channels] * 7)),
        "waveform layer": transformer(layer, "pre"),
        "log-mel": transformer(LogMel(channels=[channels] * 2)),
        "wavlm": transformer(layer, "pre", relative_positions=RelativePositions(heads=width // 64)),
        "whisper": transformer(whisper, "pre", position_conv=None, sinusoids=1500, key_bias=False),
        "conv": ConvConfig(channels=[channels // 8] * 3, width=4 * channels),
    }


def check(setting: Setting, found: Found) -> None:
    # cuDNN rounds what enters convolutions to 10 bits unless told not to.
    torch.backends.cudnn.allow_tf32 = False
    longest = 16_000 * (1 if setting.tiny else 4)
    audio_BS, samples_B = 0.1 * torch.randn(2, longest), torch.tensor([longest, longest * 5 // 8])
    audio_BS[1, samples_B[1] :] = 0
    for name, config in kinds(setting.tiny).items():
        with found.part(name):
            fp32, bf16 = _drift(build_encoder(config).eval(), audio_BS, samples_B, setting.device)
            found.row(name, fp32_apart=fp32, bf16_apart=bf16)
            found.expect(fp32 < FP32_TOLERANCE, f"{name}: fp32 is {fp32:.2g} apart; expected under {FP32_TOLERANCE:g}")
            found.expect(bf16 < BF16_TOLERANCE, f"{name}: bf16 is {bf16:.2g} apart; expected under {BF16_TOLERANCE:g}")


@torch.inference_mode()
def _drift(encoder: Encoder, audio_BS: Tensor, samples_B: Tensor, device: torch.device) -> tuple[float, float]:
    """How far fp32 and bf16 on the device are from doubles on the CPU, as shares of the output's norm."""
    expected = encoder.double()(audio_BS.double(), samples_B)
    encoder = encoder.float().to(device)
    shares = []
    for precision in ("fp32", "bf16"):
        with autocast(device, precision):
            got = encoder(audio_BS.to(device), samples_B.to(device))
        shares.append(apart(got.output_BTD.cpu()[expected.valid_BT], expected.output_BTD[expected.valid_BT]))
    return shares[0], shares[1]
