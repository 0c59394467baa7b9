"""Errors of speaker verification: the equal error rate (EER) with its interval, and the detection cost.

Two cuts of one speaker are a target pair, two cuts of two speakers an impostor pair. The score of a pair is higher
where one speaker is likelier. A threshold accepts all scores at or above it.

Shapes: P target pairs, Q impostor pairs, N pairs of both kinds, K thresholds.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from raysearch.evidence import equal_error
from raysearch.evidence.resampling import LEVEL, Floats, ends
from raysearch.tasks.score import Score


def eer(targets_P: ArrayLike, impostors_Q: ArrayLike) -> float:
    """The equal error rate in percent: where the linearly interpolated ROC has as many misses as false acceptances.

    Raises: ValueError if either kind of pair is missing.
    """
    return equal_error.eer(*_pairs(targets_P, impostors_Q))


def eer_threshold(targets_P: ArrayLike, impostors_Q: ArrayLike) -> float:
    """The score at which to start accepting, so that misses and false acceptances are nearest to each other.

    Raises: ValueError as `eer`.
    """
    misses_K, alarms_K = det_curve(targets_P, impostors_Q)
    # The first threshold of the curve accepts nothing and is no score, so it is left out.
    scores_K = np.unique(np.concatenate([np.asarray(targets_P), np.asarray(impostors_Q)]))[::-1]
    return float(scores_K[np.abs(misses_K - alarms_K)[1:].argmin()])


def det_curve(targets_P: ArrayLike, impostors_Q: ArrayLike) -> tuple[Floats, Floats]:
    """The shares of missed targets and of accepted impostors, while the threshold falls: from (1, 0) to (0, 1).

    Raises: ValueError if either kind of pair is missing.
    """
    return equal_error.det_curve(*_pairs(targets_P, impostors_Q))


def min_dcf(targets_P: ArrayLike, impostors_Q: ArrayLike, p_target: float) -> float:
    """The least detection cost over all thresholds, where a miss and a false acceptance both cost 1.

    It is given relative to the cost of deciding without listening. It depends on the prior of a target pair,
    `p_target`, which belongs beside every number.

    Source: NIST SRE.
    Raises: ValueError as `eer`.
    """
    misses_K, alarms_K = det_curve(targets_P, impostors_Q)
    cost = float((misses_K * p_target + alarms_K * (1 - p_target)).min())
    return cost / min(p_target, 1 - p_target)


def eer_score(
    scores_N: ArrayLike, same_N: ArrayLike, speakers_N: Sequence[tuple[str, str]], *, level: float = LEVEL, seed: int
) -> Score:
    """The equal error rate, with a percentile bootstrap interval over speakers.

    Raises: ValueError as `eer`.
    """
    scores, same = np.asarray(scores_N, np.float64), np.asarray(same_N, np.float64)
    value = eer(scores[same > 0], scores[same == 0])
    names, index = np.unique(np.array(speakers_N).ravel(), return_inverse=True)
    found_R1 = equal_error.resampled_eer(scores[None], same, index.reshape(-1, 2), seed=seed)
    low, high = ends(found_R1[:, 0], level) if len(found_R1) else (0.0, 100.0)
    counts = {"targets": int(same.sum()), "impostors": int((1 - same).sum()), "speakers": len(names)}
    return Score(value, float(low), float(high), counts)


def _pairs(targets_P: ArrayLike, impostors_Q: ArrayLike) -> tuple[Floats, Floats]:
    """The scores of pairs of both kinds, and 1 for each target and 0 for each impostor."""
    targets, impostors = np.asarray(targets_P, np.float64), np.asarray(impostors_Q, np.float64)
    if not len(targets) or not len(impostors):
        raise ValueError(f"{len(targets)} target and {len(impostors)} impostor pairs; expected both kinds")
    return np.concatenate([targets, impostors]), np.repeat([1.0, 0.0], [len(targets), len(impostors)])
