"""torch.compile on and off, with batches of one length and of the lengths of several buckets.

Shapes: B batch, S samples, T frames, D width.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from gpu_checks.check import Found, apart
from gpu_checks.device import Setting
from gpu_checks.encoders import BF16_TOLERANCE, FP32_TOLERANCE, kinds
from raysearch.encoder.encoder import Encoder
from raysearch.training.precision import autocast

BLOCKS = 4
"""Compiling takes as long for each block, and gains the same in each."""
TOLERANCE = {"fp32": FP32_TOLERANCE, "bf16": BF16_TOLERANCE}
"""By precision. Compiled kernels round at other places."""


def check(setting: Setting, found: Found) -> None:
    # Compiling for a CPU needs a C++ compiler and minutes. There the graph is only taken, and run as it is.
    backend, rows, unit = ("inductor", 8, 16_000) if setting.on_gpu else ("eager", 2, 1_600)
    encoder = Encoder(kinds(setting.tiny, 1 if setting.tiny else BLOCKS)["log-mel"]).to(setting.device).train()
    buckets = (10, 9, 8) if setting.tiny else (10, 9, 8, 7, 6)
    lengths = {"fixed": [10 * unit], "bucketed": [unit * units for units in buckets]}
    for name, samples in lengths.items():
        with found.part(name):
            # What was compiled for other lengths would change how these are compiled.
            torch.compiler.reset()
            plain = _passes(setting, encoder, encoder, rows, samples)
            compiled = _passes(setting, encoder, torch.compile(encoder, backend=backend), rows, samples)
            for way, (_, first_s, again_s) in {"plain": plain, f"by {backend}": compiled}.items():
                found.row(f"{name}, {way}", first_s=first_s, step_s=again_s)
            gap = max(apart(*pair) for pair in zip(compiled[0], plain[0], strict=True))
            found.row(f"{name}, ratio", times_as_fast=plain[2] / compiled[2], apart=gap)
            most = TOLERANCE[setting.precision]
            found.expect(gap < most, f"{name}: compiled is {gap:.2g} apart; expected under {most:g}")


def _passes(
    setting: Setting, encoder: Encoder, call: Callable[..., object], rows: int, samples: Sequence[int]
) -> tuple[list[Tensor], float, float]:
    """The outputs for each length, the seconds of a first pass over all, and the median of those of each one after."""
    steps = [_step(setting, encoder, call, rows, count) for count in samples]
    outputs, first_s = zip(*(step() for step in steps), strict=True)
    again_s = [step()[1] for _ in range(2 if setting.tiny else 8) for step in steps]
    return list(outputs), sum(first_s), statistics.median(again_s)


def _step(
    setting: Setting, encoder: Encoder, call: Callable[..., object], rows: int, samples: int
) -> Callable[[], tuple[Tensor, float]]:
    """A function that runs forward and backward over a batch. It gives the output, and its own seconds."""
    audio_BS = 0.1 * torch.randn(rows, samples, generator=torch.Generator().manual_seed(samples))
    audio_BS, samples_B = audio_BS.to(setting.device), torch.full((rows,), samples, device=setting.device)

    def step() -> tuple[Tensor, float]:
        setting.synchronise()
        began_s = time.perf_counter()
        with autocast(setting.device, setting.precision):
            output_BTD = call(audio_BS, samples_B).output_BTD
        # Any loss will do whose gradient does not vanish, since only the time counts.
        output_BTD[..., 0].float().sum().backward()
        setting.synchronise()
        seconds = time.perf_counter() - began_s
        encoder.zero_grad()
        return output_BTD.detach(), seconds

    return step
