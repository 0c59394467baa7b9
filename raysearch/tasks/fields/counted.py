"""Figures that are computed from counts, such as accuracy or F1, with bootstrap intervals over cuts.

The counts of all cuts are summed, and the figure is a function of the sums.

Shapes: C cuts, K kinds of counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from raysearch.evidence.resampling import LEVEL, Figure, ends, resampled
from raysearch.tasks.score import Score

Counts = NDArray[np.float64]


def counted_interval(counts: Sequence[Counts], figure: Figure, *, level: float = LEVEL, seed: int) -> Score:
    """A figure with its percentile bootstrap interval. Of several corpora it is the mean of each one's figure.

    `counts` holds one array `counts_CK` for each corpus. `figure` takes sums of counts `(..., K)` and gives percent
    `(...)`. Cuts are resampled within their corpus. A corpus of one cut tells nothing about spread, so with such a one
    the interval runs from 0 to 100.
    """
    value = float(np.mean([figure(counts_CK.sum(0)) for counts_CK in counts]))
    cuts = {"cuts": sum(map(len, counts))}
    if any(len(counts_CK) < 2 for counts_CK in counts):
        return Score(value, 0.0, 100.0, cuts)
    low, high = ends(resampled(counts, figure, seed=seed), level)
    return Score(value, float(low), float(high), cuts)


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
