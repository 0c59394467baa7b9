"""How far the error rate of a corpus would move if other cuts had been drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from raysearch.evidence.resampling import LEVEL, ends, resampled, share
from raysearch.tasks.score import Score


def rate_interval(errors_C: ArrayLike, lengths_C: ArrayLike, *, level: float = LEVEL, seed: int) -> Score:
    """The error rate of a corpus in percent, sum of errors over sum of lengths, with a percentile bootstrap interval.

    Of each of C cuts, `errors_C` holds the substitutions, deletions and insertions together, and `lengths_C` the words
    or phones of the reference. Cuts are resampled, because the words within one are not independent. Cuts of one
    speaker are not independent either, so with few speakers the interval is too narrow for a claim about other
    speakers. One cut tells nothing about spread: its interval runs from 0 to 100, or to the value itself if that is
    higher.

    Raises: ValueError if the references are empty: the rate is undefined then, not zero.
    Source: Bisani and Ney, ICASSP 2004.
    """
    counts_C2 = np.stack([np.asarray(errors_C, np.float64), np.asarray(lengths_C, np.float64)], axis=1)
    if counts_C2[:, 1].sum() == 0:
        raise ValueError("error rate of empty references is undefined")
    value = float(share(counts_C2.sum(0)))
    if len(counts_C2) == 1:
        return Score(value, 0.0, max(value, 100.0), {"cuts": 1})
    low, high = ends(resampled([counts_C2], share, seed=seed), level)
    return Score(value, float(low), float(high), {"cuts": len(counts_C2)})
