"""The search for a batch that fits meets a device that is really full, and an update of what it finds goes through.

Shapes: B batch.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pretrain_step import spans
from torch import Tensor

from gpu_checks.check import Found
from gpu_checks.device import Setting
from gpu_checks.encoders import kinds
from gpu_checks.speech import corpus
from raysearch.corpora.batches import Batch, TrainingBatches
from raysearch.encoder.encoder import Encoder
from raysearch.methods.labels.prediction import MaskedPrediction
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.training.memory import fitting
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run, Trainer

CLUSTERS = 100
LEFT_BYTES = 8 << 30
"""Memory that is left free on the GPU. Weights, gradients and moments of HuBERT Base take 2 GB of it."""
HELD_S = 5.0
"""Seconds of audio that the made-up device holds."""


class Limited(MaskedPrediction):
    """Runs out of memory at more than `HELD_S` seconds of audio, as a GPU would at some size."""

    def share(self, counts: Mapping[str, Tensor], *inputs: Any, **named: Any) -> tuple[Tensor, dict[str, Tensor]]:
        if named["audio_BS"].numel() > HELD_S * 16_000:
            raise torch.OutOfMemoryError("the made-up device is full")
        return super().share(counts, *inputs, **named)


def check(setting: Setting, found: Found) -> None:
    # Only a large encoder can fill a GPU.
    cut_s, asked_s, cuts = (10.0, 320.0, 64) if setting.on_gpu else (1.0, 16.0, 32)
    speech = corpus([cut_s] * cuts)
    encoder = Encoder(kinds(tiny=not setting.on_gpu)["waveform group"])
    module = (MaskedPrediction if setting.on_gpu else Limited)(encoder, CLUSTERS, PredictionSettings())
    module = module.to(setting.device).train()
    filled = _filled(setting)
    asked = TrainingSettings(batch_s=asked_s)

    def build(batch_s: float) -> TrainingBatches:
        return TrainingBatches(speech.splits["train"], speech.audio, batch_s, 0)

    def prepare(step: int, batch: Batch) -> dict[str, Any]:
        frames = int(encoder.frames(batch.audio_BS.shape[1]))
        shape = len(batch.cuts), frames
        labels = {"labels_BT": torch.randint(CLUSTERS, shape), "mask_BT": spans(*shape, 10)}
        return {"audio_BS": batch.audio_BS, "samples_B": batch.samples_B, **labels}

    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        batches, fits = fitting(place, asked, build, module, prepare, setting.device, setting.precision)
        trainer = Trainer(Run(place, setting.device, 0, setting.precision, (1,), fits), module)
        stream = batches.from_step(0)
        metrics = trainer.update(prepare(0, next(stream)) for _ in range(fits.accumulate))
    sizes = {"asked_s": asked.batch_s, "fits_s": fits.batch_s, "accumulate": fits.accumulate}
    found.row("batch", **sizes, filled_gb=filled.numel() / 1e9, loss=float(metrics["loss"]))
    found.expect(fits.batch_s < asked.batch_s, f"{asked.batch_s:g} s fit; expected that they do not")
    found.expect(
        fits.batch_s * fits.accumulate == asked.batch_s,
        f"an update hears {fits.batch_s * fits.accumulate:g} s; expected {asked.batch_s:g} s",
    )


def _filled(setting: Setting) -> Tensor:
    """A tensor that leaves little of the device's memory free. It is empty on a CPU."""
    return torch.empty(max(0, setting.free_bytes() - LEFT_BYTES), dtype=torch.uint8, device=setting.device)
