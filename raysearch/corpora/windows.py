"""Makes other views of a batch: a stretch of each cut, or the cuts played faster or slower."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from scipy.signal import resample

from raysearch.corpora.batches import Batch
from raysearch.encoder.config import SAMPLE_RATE_HZ


def windowed(batch: Batch, window_s: float, starts: Sequence[float]) -> Batch:
    """A window of `window_s` seconds of each cut. Shorter cuts are kept whole, and 0 keeps all cuts whole.

    `starts` says where each window begins: 0 is the earliest place in the cut, 1 the latest.
    """
    width = round(window_s * SAMPLE_RATE_HZ) or batch.audio_BS.shape[1]
    rows = []
    for audio_S, samples, start in zip(batch.audio_BS, batch.samples_B.tolist(), starts, strict=True):
        kept = min(width, samples)
        first = int(start * (samples - kept + 1))
        rows.append(audio_S[first : first + kept])
    return _padded(rows, batch)


def vary_speed(batch: Batch, most: float, rng: np.random.Generator) -> Batch:
    """Each cut played at a speed of its own, up to `most` (a share) faster or slower, and as much higher or lower.

    The resampling is band-limited: a band that is empty in a recording stays empty, and nothing folds back.
    """
    rows = []
    for audio_S, samples in zip(batch.audio_BS.numpy(), batch.samples_B.tolist(), strict=True):
        speed = (1 + most) ** rng.uniform(-1, 1)
        rows.append(torch.from_numpy(resample(audio_S[:samples], round(samples / speed))))
    return _padded(rows, batch)


def _padded(rows: Sequence[torch.Tensor], batch: Batch) -> Batch:
    samples_B = torch.tensor([len(row_S) for row_S in rows])
    return replace(batch, audio_BS=torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True), samples_B=samples_B)
