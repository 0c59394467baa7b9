"""The one bootstrap: figures as they would be if other cuts had been drawn, and the ends of their 95 % intervals.

How often each cut is drawn is all that a sum needs, so no resample is ever written out. The same number of units and
the same seed give the same draws, so that figures of two students on the same cuts can be subtracted draw by draw.

Shapes: C cuts, U units, R resamples, K kinds of counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Figure = Callable[[Floats], Floats]
"""Function from sums of counts (..., K) to a figure in percent (...)."""

RESAMPLES = 2_000
LEVEL = 0.95
"""Confidence level of intervals."""
# Resamples that are drawn at once: all together they would take too much memory.
_BATCH = 200


def share(sums: Floats) -> Floats:
    """The first count in percent of the second."""
    # A resample of nothing but wordless cuts has no rate. Counting one word keeps the percentiles finite.
    found: Floats = 100 * sums[..., 0] / np.maximum(sums[..., 1], 1)
    return found


def draws(units: int, rng: np.random.Generator, resamples: int) -> Floats:
    """How often each of U units is drawn in each resample (R, U), if as many are drawn as there are."""
    # Numbers of units that are counted take a sixth of the time of a multinomial draw, and are what scipy draws.
    drawn_RU = rng.integers(0, units, (resamples, units)) + units * np.arange(resamples)[:, None]
    return np.bincount(drawn_RU.ravel(), minlength=resamples * units).reshape(resamples, units).astype(np.float64)


def resampled(counts: Sequence[Floats], figure: Figure, *, seed: int) -> Floats:
    """The figure in each resample (R, ...). Of several corpora it is the mean of each one's figure.

    `counts` holds an array (C, ..., K) for each corpus. Cuts are resampled within their corpus.
    """
    rng = np.random.default_rng(seed)

    def of(counts_CK: Floats) -> Iterator[Floats]:
        for _ in range(RESAMPLES // _BATCH):
            yield figure(np.tensordot(draws(len(counts_CK), rng, _BATCH), counts_CK, axes=1))

    found: Floats = np.mean([np.concatenate(list(of(counts_CK))) for counts_CK in counts], axis=0)
    return found


def ends(found_R: Floats, level: float = LEVEL) -> Floats:
    """Both ends (2, ...) of the percentile interval of a figure that was resampled (R, ...)."""
    interval: Floats = np.percentile(found_R, [50 * (1 - level), 50 * (1 + level)], axis=0)
    return interval
