"""Windows of cuts: a stretch of each row of a batch."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raysearch.corpora.batches import Batch
from raysearch.encoder.config import SAMPLE_RATE_HZ


def crop(batch: Batch, window_s: float, starts: Sequence[float]) -> Batch:
    """`window_s` of each cut; 0 keeps all, as shorter cuts are kept. `starts`: 0 for its beginning, 1 for its end."""
    width = round(window_s * SAMPLE_RATE_HZ) or batch.audio_BS.shape[1]
    samples_B = batch.samples_B.clamp(max=width)
    audio_BS = torch.zeros(len(batch.cuts), int(samples_B.max()))
    for row, (start, samples) in enumerate(zip(starts, samples_B.tolist(), strict=True)):
        first = int(start * (int(batch.samples_B[row]) - samples + 1))
        audio_BS[row, :samples] = batch.audio_BS[row, first : first + samples]
    return Batch(audio_BS, samples_B, batch.cuts)
