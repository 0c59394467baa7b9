"""Figures that are computed from counts, such as accuracy or F1, with bootstrap intervals over cuts.

The counts of all cuts are summed, and the figure is a function of the sums.

Shapes: C cuts, R resamples, K kinds of counts.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from raysearch.tasks.interval import RESAMPLES
from raysearch.tasks.score import Score

Counts = NDArray[np.float64]
# Resamples that are drawn at once: all together they would take too much memory.
_BATCH = 100


def counted_interval(
    counts: Sequence[Counts], figure: Callable[[Counts], NDArray[np.float64]], *, level: float = 0.95, seed: int
) -> Score:
    """A figure with its percentile bootstrap interval. Of several corpora it is the mean of each one's figure.

    `counts` holds one array `counts_CK` for each corpus. `figure` takes sums of counts `(..., K)` and gives percent
    `(...)`. Cuts are resampled within their corpus. A corpus of one cut tells nothing about spread, so with such a one
    the interval runs from 0 to 100.
    """
    value = float(np.mean([figure(counts_CK.sum(0)) for counts_CK in counts]))
    cuts = {"cuts": sum(map(len, counts))}
    if any(len(counts_CK) < 2 for counts_CK in counts):
        return Score(value, 0.0, 100.0, cuts)
    rng = np.random.default_rng(seed)
    resampled_R = np.mean([_resampled(counts_CK, figure, rng) for counts_CK in counts], axis=0)
    low, high = np.percentile(resampled_R, [50 * (1 - level), 50 * (1 + level)])
    return Score(value, float(low), float(high), cuts)


def share(sums: Counts) -> NDArray[np.float64]:
    """The first count in percent of the second."""
    return 100 * sums[..., 0] / np.maximum(sums[..., 1], 1)


def f1(sums: Counts) -> NDArray[np.float64]:
    """F1 in percent, from true positives, false positives and false negatives. Where all three are zero it is 100."""
    hits, wrong = 2 * sums[..., 0], sums[..., 1] + sums[..., 2]
    return 100 * np.where(hits + wrong > 0, hits / np.maximum(hits + wrong, 1), 1.0)


def macro_f1(sums: Counts) -> NDArray[np.float64]:
    """The mean F1 in percent of the classes that occur or were read.

    Counts are three blocks of one count for each class: true positives, false positives and false negatives.
    """
    blocks = np.moveaxis(sums.reshape(*sums.shape[:-1], 3, -1), -2, -1)
    occur = blocks.sum(-1) > 0
    return (f1(blocks) * occur).sum(-1) / np.maximum(occur.sum(-1), 1)


def _resampled(
    counts_CK: Counts, figure: Callable[[Counts], NDArray[np.float64]], rng: np.random.Generator
) -> NDArray[np.float64]:
    # How often each cut is drawn is all that a sum needs: no resample is ever written out.
    cuts = len(counts_CK)
    draws = (rng.multinomial(cuts, np.full(cuts, 1 / cuts), size=_BATCH) for _ in range(RESAMPLES // _BATCH))
    return np.concatenate([figure(times_RC @ counts_CK) for times_RC in draws])
