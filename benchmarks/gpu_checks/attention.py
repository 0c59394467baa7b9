"""Attention over batches without padding runs as flash attention, and gives what plain matrix products give.

The encoder is left to choose its kernel, as in training. The kernels are counted by torch's profiler.

Shapes: B batch, S samples, T frames, D width.
"""

from __future__ import annotations

import re
import time
from collections import Counter

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from gpu_checks.check import Found, apart
from gpu_checks.device import Setting
from gpu_checks.encoders import BF16_TOLERANCE, kinds
from raysearch.encoder.encoder import Encoder
from raysearch.training.precision import autocast

FLASH = {"flash", "cudnn"}
"""The kernels that never write the table of scores to memory: that of the paper, and cuDNN's of the same kind."""


def check(setting: Setting, found: Found) -> None:
    config = kinds(setting.tiny)["log-mel"]
    fused = Encoder(config).to(setting.device)
    explicit = Encoder(config, attention="explicit").to(setting.device)
    explicit.load_state_dict(fused.state_dict())
    rows, samples = (2, 16_000) if setting.tiny else (8, 320_000)
    audio_BS = 0.1 * torch.randn(rows, samples, device=setting.device)
    full_B = torch.full((rows,), samples, device=setting.device)
    padded_B = full_B - torch.arange(rows, device=setting.device) * (samples // (2 * rows))

    output_BTD, fused_s = _timed(setting, fused, audio_BS, full_B)
    expected_BTD, explicit_s = _timed(setting, explicit, audio_BS, full_B)
    kernels = _kernels(setting, fused, audio_BS, full_B)
    gap = apart(output_BTD, expected_BTD)
    found.row("full rows", **kernels, fused_s=fused_s, matrix_products_s=explicit_s, apart=gap)
    right = set(kernels) <= FLASH and sum(kernels.values()) == config.depth
    found.expect(right, f"attention ran as {kernels}; expected flash attention, {config.depth} times")
    found.expect(gap < BF16_TOLERANCE, f"flash attention is {gap:.2g} apart; expected under {BF16_TOLERANCE:g}")
    # Padding needs a mask, which flash attention on a GPU does not take.
    _, padded_s = _timed(setting, fused, audio_BS, padded_B)
    found.row("padded rows", **_kernels(setting, fused, audio_BS, padded_B), fused_s=padded_s)


def _kernels(setting: Setting, encoder: Encoder, audio_BS: Tensor, samples_B: Tensor) -> Counter[str]:
    """How often each kernel computed attention in a forward pass: `flash`, `cudnn`, `efficient`, `math`."""
    with profile(activities=[ProfilerActivity.CPU]) as seen, autocast(setting.device, "bf16"):
        encoder(audio_BS, samples_B)
    counts: Counter[str] = Counter()
    for event in seen.key_averages():
        if kernel := re.fullmatch(
            r"aten::_scaled_dot_product_(?:attention_)?([a-z]+)(_attention(_for_cpu)?)?", event.key
        ):
            counts[kernel[1]] += event.count
    return counts


def _timed(setting: Setting, encoder: Encoder, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, float]:
    """The output, and the seconds of the second of two passes forward and backward."""
    for _ in range(2):
        setting.synchronise()
        began_s = time.perf_counter()
        with autocast(setting.device, "bf16"):
            output_BTD = encoder(audio_BS, samples_B).output_BTD
        output_BTD[..., 0].float().sum().backward()
        setting.synchronise()
        seconds = time.perf_counter() - began_s
        encoder.zero_grad()
    return output_BTD.detach(), seconds
