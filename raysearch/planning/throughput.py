"""Measures how fast this machine trains an encoder and reads audio, in seconds of noise.

Shapes: B batch, S samples, T frames, D width.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import torch

from raysearch.corpora.batches import load_audio
from raysearch.corpora.readers.reading import whole_cut
from raysearch.encoder.build import build_encoder
from raysearch.encoder.config import SAMPLE_RATE_HZ, Adapter, AnyConfig, Block, ConvConfig, EncoderConfig
from raysearch.encoder.cost import TRAINING_PASSES, macs
from raysearch.training.precision import autocast

CPU = torch.device("cpu")
ROUNDS = 5
"""Runs of which the quickest counts."""
LEAST_S = 0.25
"""Seconds of audio in an update so small that nearly all of its time is the start of its operations."""
NARROW = 16
"""Width at which the arithmetic of an operation takes no time beside its start."""
BATCH_S, CUT_S = 40.0, 10.0
"""Seconds of audio in an update of ordinary size, and in each of its cuts."""


@dataclass(frozen=True)
class Throughput:
    """How fast one encoder is trained on one device, by the quickest of a few updates."""

    fixed_s: float
    """Seconds of an update on next to no audio: what the host needs to start its operations."""
    update_s: float
    """Seconds of an update on `audio_s` of audio."""
    audio_s: float
    """Seconds of audio in the update that took `update_s`."""
    macs_per_s: float
    """Multiply-accumulates a second in that update. The way back counts as two passes, so that an update has three."""


def measure_training(config: AnyConfig, device: torch.device, precision: str, batch_s: float = BATCH_S) -> Throughput:
    """The throughput of an encoder alone, on whole cuts of about `batch_s` in all: no teacher, no head, no reading."""
    cuts = max(1, round(batch_s / CUT_S))
    update = _updates(config, device, precision)
    fixed_s = best_s(update(1, LEAST_S), device)
    update_s = best_s(update(cuts, CUT_S), device)
    work = TRAINING_PASSES * cuts * macs(config, round(CUT_S * SAMPLE_RATE_HZ))
    return Throughput(fixed_s, update_s, cuts * CUT_S, work / update_s)


def measure_host(config: AnyConfig, device: torch.device, precision: str) -> float:
    """Seconds in which the host starts the operations of an update, whatever device they run on."""
    return best_s(_updates(narrowed(config), device, precision)(1, LEAST_S), device)


def narrowed(config: AnyConfig) -> AnyConfig:
    """An encoder with as many operations, but next to no arithmetic and few weights in them."""
    if isinstance(config, ConvConfig):
        return config.model_copy(update={"channels": [NARROW] * len(config.channels), "width": NARROW})
    # So small a width cannot be divided among several groups or heads.
    positions = config.relative_positions
    return EncoderConfig(
        front_end=config.front_end.model_copy(update={"channels": [NARROW] * len(config.front_end.channels)}),
        width=NARROW,
        norm=config.norm,
        position_conv=config.position_conv and config.position_conv.model_copy(update={"groups": 1}),
        sinusoids=config.sinusoids,
        projection=config.projection,
        time_reduction=config.time_reduction,
        key_bias=config.key_bias,
        relative_positions=positions and positions.model_copy(update={"heads": 1}),
        blocks=[
            Block(
                heads=min(1, block.heads),
                head_width=NARROW,
                ffn=min(NARROW, block.ffn),
                adapter=block.adapter and Adapter(width=NARROW),
                reuses_map=block.reuses_map,
            )
            for block in config.block_list
        ],
    )


def _updates(config: AnyConfig, device: torch.device, precision: str) -> Callable[[int, float], Callable[[], None]]:
    """Updates of a new encoder: called with `(cuts, seconds)`, gives a function that trains on that many cuts."""
    encoder = build_encoder(config).to(device).train()
    optimiser = torch.optim.AdamW(encoder.parameters(), fused=True)

    def update(cuts: int, seconds: float) -> Callable[[], None]:
        samples = round(seconds * SAMPLE_RATE_HZ)
        audio_BS = 0.1 * torch.randn(cuts, samples, device=device)
        samples_B = torch.full((cuts,), samples)

        def run() -> None:
            with autocast(device, precision):
                encoded = encoder(audio_BS, samples_B)
            # Any loss will do, since only the time counts.
            encoded.output_BTD.float().square().mean().backward()
            optimiser.step()
            optimiser.zero_grad()
            # A GPU runs behind the host: without waiting, only the start of the work would be timed.
            if device.type == "cuda":
                torch.cuda.synchronize(device)

        return run

    return update


def measure_reading() -> float:
    """CPU seconds that one second of audio in a FLAC file takes to read."""
    rng = np.random.default_rng(0)
    samples = round(CUT_S * SAMPLE_RATE_HZ)
    # The noise falls with frequency, as speech does. White noise would not compress.
    noise_S = np.convolve(rng.standard_normal(samples), np.hanning(32), mode="same")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "noise.flac")
        soundfile.write(path, 0.1 * noise_S / np.abs(noise_S).max(), SAMPLE_RATE_HZ)
        cut = whole_cut("noise", path, samples, "nobody")
        # `best_s` divides by the threads of torch, but one thread reads.
        return best_s(lambda: load_audio(cut)) * torch.get_num_threads() / CUT_S


def best_s(run: Callable[[], object], device: torch.device = CPU) -> float:
    """Seconds of the quickest of a few runs, since other processes may work here too.

    On a CPU it is the CPU time of the process, shared out over the threads of torch.
    """
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    seconds = []
    for _ in range(ROUNDS):
        began_s = clock()
        run()
        seconds.append(clock() - began_s)
    return min(seconds) / (torch.get_num_threads() if device.type == "cpu" else 1)
