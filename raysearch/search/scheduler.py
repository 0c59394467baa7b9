"""Decides whether a trial stops before its budget is spent. It sees only dev metrics at rungs and exact costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import moocore
import numpy as np

Point = tuple[float, ...]
"""Costs and then errors, all of which should be small."""
ETA, ETA_UNTRAINED = 2, 8
"""Of so many trials that reach a rung about one goes on. At rung 0, before its training, a trial has cost next to
nothing, so that many are looked at for one that is trained."""


def keeps_going(point: Point, others: Sequence[Point], *, costs: int = 1, eta: int = ETA) -> bool:
    """Whether a trial is among the best 1/eta of those that have reached its rung. So many of its numbers are costs.

    Trials are ranked by non-domination, and within a rank by what they add to the hypervolume. The first one at a rung
    always goes on.

    Source: Schmucker et al., Multi-objective asynchronous successive halving, 2021 (with hypervolume for its ranking).
    """
    points = np.array([point, *others], dtype=float)
    # Cost counts by its logarithm: halving a small student's MACs is worth as much as halving a large one's.
    points[:, :costs] = np.log(points[:, :costs])
    ranks = moocore.pareto_rank(points)
    # A little beyond the worst of each, so that the ends of the front add to the hypervolume as well.
    reference = points.max(axis=0) + 0.1 * np.maximum(np.ptp(points, axis=0), 1e-9)
    peers = np.flatnonzero(ranks == ranks[0])
    contributions = moocore.hv_contributions(points[peers], ref=reference, ignore_dominated=False)
    ahead = int((ranks < ranks[0]).sum()) + int((contributions > contributions[0]).sum())
    return ahead < math.ceil(len(points) / eta)
