"""Errors of speaker verification: the equal error rate (EER) with its interval, and the detection cost.

Two cuts of one speaker are a target pair, two cuts of two speakers an impostor pair. The score of a pair is higher
where one speaker is likelier. A threshold accepts all scores at or above it.

Shapes: P target pairs, Q impostor pairs, N pairs of both kinds, K thresholds, R resamples, S speakers.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from raysearch.tasks.score import Score

Floats = NDArray[np.float64]
RESAMPLES = 1_000
_MOST_WEIGHTS = 2_000_000
"""Resamples times pairs that are worked out at once, so that memory stays small with long trial lists."""


def eer(targets_P: ArrayLike, impostors_Q: ArrayLike) -> float:
    """The equal error rate in percent: where the linearly interpolated ROC has as many misses as false acceptances.

    Raises: ValueError if either kind of pair is missing.
    """
    misses_K, alarms_K = det_curve(targets_P, impostors_Q)
    return float(_crossing(misses_K[None], alarms_K[None])[0])


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
    targets, impostors = np.asarray(targets_P, np.float64), np.asarray(impostors_Q, np.float64)
    if not len(targets) or not len(impostors):
        raise ValueError(f"{len(targets)} target and {len(impostors)} impostor pairs; expected both kinds")
    scores_N = np.concatenate([targets, impostors])
    same_N = np.repeat([1.0, 0.0], [len(targets), len(impostors)])
    misses_1K, alarms_1K = _curves(scores_N, same_N, np.ones((1, len(scores_N))))
    return misses_1K[0], alarms_1K[0]


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
    scores_N: ArrayLike, same_N: ArrayLike, speakers_N: Sequence[tuple[str, str]], *, level: float = 0.95, seed: int
) -> Score:
    """The equal error rate, with a percentile bootstrap interval over speakers.

    Speakers are drawn with replacement. A pair of one speaker counts as often as the speaker is drawn, and a pair of
    two counts the product of how often each is drawn. Pairs share speakers, so resampling pairs would give far too
    narrow an interval. A resample that lacks one kind of pair says nothing and is left out.

    Raises: ValueError as `eer`.
    """
    scores, same = np.asarray(scores_N, np.float64), np.asarray(same_N, np.float64)
    value = eer(scores[same > 0], scores[same == 0])
    names, index = np.unique(np.array(speakers_N).ravel(), return_inverse=True)
    one_N, other_N = index.reshape(-1, 2).T
    rng = np.random.default_rng(seed)
    found: list[Floats] = []
    drawn = rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=RESAMPLES).astype(np.float64)
    for drawn_RS in np.array_split(drawn, min(RESAMPLES, 1 + RESAMPLES * len(scores) // _MOST_WEIGHTS)):
        first_RN, second_RN = drawn_RS[:, one_N], drawn_RS[:, other_N]
        weights_RN = np.where(one_N == other_N, first_RN, first_RN * second_RN)
        whole_R = ((weights_RN * same).sum(1) > 0) & ((weights_RN * (1 - same)).sum(1) > 0)
        if whole_R.any():
            found.append(_crossing(*_curves(scores, same, weights_RN[whole_R])))
    ends = np.percentile(np.concatenate(found), [50 - 50 * level, 50 + 50 * level]) if found else (0.0, 100.0)
    counts = {"targets": int(same.sum()), "impostors": int((1 - same).sum()), "speakers": len(names)}
    return Score(value, float(ends[0]), float(ends[1]), counts)


def _curves(scores_N: Floats, same_N: Floats, weights_RN: Floats) -> tuple[Floats, Floats]:
    """Misses and false acceptances (R, K), at every threshold that lies between two different scores."""
    order_N = np.argsort(-scores_N, kind="stable")
    # Equal scores are accepted together, so thresholds lie behind the last of each.
    last_K = np.flatnonzero(np.diff(scores_N[order_N], append=-np.inf))
    ordered_RN, same = weights_RN[:, order_N], same_N[order_N]

    def shares(of_N: Floats) -> Floats:
        sums_RN = np.cumsum(ordered_RN * of_N, axis=1)
        start_R1 = np.zeros((len(sums_RN), 1))
        found: Floats = np.concatenate([start_R1, sums_RN[:, last_K]], axis=1) / sums_RN[:, -1:]
        return found

    return 1 - shares(same), shares(1 - same)


def _crossing(misses_RK: Floats, alarms_RK: Floats) -> Floats:
    """The error rate in percent at which misses and false acceptances are equal.

    Along K misses fall and false acceptances rise.
    """
    gap_RK = misses_RK - alarms_RK
    after_R = (gap_RK <= 0).argmax(axis=1)
    rows = np.arange(len(gap_RK))
    before, after = gap_RK[rows, after_R - 1], gap_RK[rows, after_R]
    share_R = before / (before - after)
    start, end = alarms_RK[rows, after_R - 1], alarms_RK[rows, after_R]
    crossing: Floats = 100 * (start + share_R * (end - start))
    return crossing
