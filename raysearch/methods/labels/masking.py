"""Span masks: which frames a student does not see and must predict from the others.

Shapes: B batch, T frames.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def span_frames(mask_ms: int, frame_hz: float) -> int:
    """The number of frames in a span of `mask_ms` milliseconds, at least one."""
    return max(1, round(mask_ms * frame_hz / 1000))


def span_mask(
    frames_B: NDArray[np.int64], width: int, mask_prob: float, span: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """The mask (B, width), True where a frame is masked. Rows are independent and padding is never masked.

    A row of T frames gets int(mask_prob * T / span + U[0, 1)) spans, and at least one. Spans may overlap, but they
    start at distinct frames in [0, T - span), so the last frame of a row is always seen. A row no longer than a span
    gets shorter ones, and a row of one frame gets none. With `mask_prob` 0 nothing is masked.

    Source: HuBERT, Hsu et al. 2021, section II-B. Deviation: each row keeps its own number of masked frames. The
    original code thins all rows to the smallest number, which tears holes into the spans of longer cuts.
    """
    mask_BT = np.zeros((len(frames_B), width), dtype=bool)
    if mask_prob == 0:
        return mask_BT
    span_B = np.minimum(span, frames_B - 1)
    wanted_B = (mask_prob * frames_B / span + rng.random(len(frames_B))).astype(np.int64)
    count_B = np.where(span_B > 0, np.clip(wanted_B, 1, frames_B - span_B), 0)
    rows, starts = np.nonzero(_starts(count_B, frames_B - span_B, width, rng))
    edges_BT = np.zeros((len(frames_B), width + 1), dtype=np.int64)
    edges_BT[rows, starts] += 1
    # Plain indexing would count only one of several spans that end at the same frame.
    np.subtract.at(edges_BT, (rows, starts + span_B[rows]), 1)
    return edges_BT.cumsum(axis=1)[:, :width] > 0


def _starts(
    count_B: NDArray[np.int64], places_B: NDArray[np.int64], width: int, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Which frames start a span: in each row `count_B` distinct ones of the first `places_B`."""
    keys_BT = rng.random((len(count_B), width))
    # Random keys are below 1, so frames where no span may start come last in the order of keys.
    keys_BT[np.arange(width) >= places_B[:, None]] = 2.0
    rank_BT = keys_BT.argsort(axis=1).argsort(axis=1)
    return rank_BT < count_B[:, None]
