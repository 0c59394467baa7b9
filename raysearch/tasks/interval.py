"""How far the error rate of a corpus would move if other cuts had been drawn."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import bootstrap

from raysearch.tasks.score import Score

RESAMPLES = 2_000


def rate_interval(errors_C: ArrayLike, lengths_C: ArrayLike, *, level: float = 0.95, seed: int) -> Score:
    """The error rate of a corpus in percent, sum of errors over sum of lengths, with a percentile bootstrap interval.

    Of each of C cuts, `errors_C` holds the substitutions, deletions and insertions together, and `lengths_C` the words
    or phones of the reference. Cuts are resampled, because the words within one are not independent. Cuts of one
    speaker are not independent either, so with few speakers the interval is too narrow for a claim about other
    speakers. One cut tells nothing about spread: its interval runs from 0 to 100, or to the value itself if that is
    higher.

    Raises: ValueError if the references are empty: the rate is undefined then, not zero.
    Source: Bisani and Ney, ICASSP 2004.
    """
    errors = np.asarray(errors_C, dtype=np.float64)
    lengths = np.asarray(lengths_C, dtype=np.float64)
    if lengths.sum() == 0:
        raise ValueError("error rate of empty references is undefined")
    value = _rate(errors, lengths).item()
    if len(errors) == 1:
        return Score(value, 0.0, max(value, 100.0), {"cuts": 1})
    interval = bootstrap(
        (errors, lengths),
        _rate,
        n_resamples=RESAMPLES,
        batch=200,
        vectorized=True,
        paired=True,
        confidence_level=level,
        method="percentile",
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Score(value, float(interval.low), float(interval.high), {"cuts": len(errors)})


def _rate(errors: NDArray[np.float64], lengths: NDArray[np.float64], axis: int = -1) -> NDArray[np.float64]:
    # A resample of nothing but wordless cuts has no rate. Counting one word keeps the percentiles finite.
    return 100 * errors.sum(axis=axis) / np.maximum(lengths.sum(axis=axis), 1)
