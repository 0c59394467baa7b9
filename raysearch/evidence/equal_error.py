"""The equal error rate (EER): where a threshold on the scores of pairs misses as often as it accepts falsely.

Only the order of the scores decides, so ranks in place of scores give the same rate.

Shapes: N pairs, Q of them of two speakers, and one more where sums begin, K thresholds, P students, R resamples,
S speakers.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from raysearch.evidence.resampling import Floats, draws

RESAMPLES = 1_000
_MOST_WEIGHTS = 2_000_000
"""Resamples times pairs that are worked out at once, so that memory stays small with long trial lists."""


def eer(scores_N: Floats, same_N: Floats) -> float:
    """The equal error rate in percent: where the linearly interpolated ROC has as many misses as false acceptances.

    `same_N` is 1 for a pair of one speaker and 0 for a pair of two. Both kinds must occur.
    """
    return float(_crossings(scores_N, same_N, _shares(same_N, np.ones((len(same_N), 1))))[0])


def resampled_eer(scores_PN: Floats, same_N: Floats, speakers_N2: NDArray[np.intp], *, seed: int) -> Floats:
    """The equal error rates (R, P) of several students in resamples of the speakers, who are numbered from 0.

    Speakers are drawn with replacement. A pair of one speaker counts as often as the speaker is drawn, and a pair of
    two counts the product of how often each is drawn. Pairs share speakers, so resampling pairs would give far too
    narrow an interval. A resample that lacks one kind of pair says nothing and is left out.
    """
    found = [np.empty((0, len(scores_PN)))]
    for shares_NR in _drawn_shares(same_N, speakers_N2, np.random.default_rng(seed)):
        found.append(np.stack([_crossings(scores_N, same_N, shares_NR) for scores_N in scores_PN], axis=1))
    return np.concatenate(found)


def det_curve(scores_N: Floats, same_N: Floats) -> tuple[Floats, Floats]:
    """Misses and false acceptances (K), at every threshold between two different scores, the highest first."""
    order_N, last_K = _thresholds(scores_N)
    sums_2N = np.cumsum([same_N[order_N], 1 - same_N[order_N]], axis=1)
    shares_2K = np.pad(sums_2N[:, last_K], ((0, 0), (1, 0))) / sums_2N[:, -1:]
    return 1 - shares_2K[0], shares_2K[1]


def _drawn_shares(same_N: Floats, speakers_N2: NDArray[np.intp], rng: np.random.Generator) -> Iterator[Floats]:
    """The weights of all pairs in some resamples of the speakers at a time."""
    one_N, other_N = speakers_N2.T
    drawn_SR = draws(int(speakers_N2.max()) + 1, rng, RESAMPLES).T
    for part_SR in np.array_split(drawn_SR, min(RESAMPLES, 1 + RESAMPLES * len(same_N) // _MOST_WEIGHTS), axis=1):
        first_NR = part_SR[one_N]
        weights_NR = np.where((one_N == other_N)[:, None], first_NR, first_NR * part_SR[other_N])
        whole_R = (same_N @ weights_NR > 0) & ((1 - same_N) @ weights_NR > 0)
        if whole_R.any():
            yield _shares(same_N, weights_NR[:, whole_R])


def _shares(same_N: Floats, weights_NR: Floats) -> Floats:
    """The weights of pairs, scaled so that those of each kind add up to 1."""
    same_N1 = same_N[:, None]
    shares_NR: Floats = weights_NR / np.where(same_N1 > 0, same_N @ weights_NR, (1 - same_N) @ weights_NR)
    return shares_NR


def _thresholds(scores_N: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The order of falling scores, and the places in it of which a threshold may lie behind."""
    order_N = np.argsort(-scores_N, kind="stable")
    # Equal scores are accepted together, so thresholds lie behind the last of each.
    return order_N, np.flatnonzero(np.diff(scores_N[order_N], append=-np.inf))


def _crossings(scores_N: Floats, same_N: Floats, shares_NR: Floats) -> Floats:
    """The error rates (R) in percent at which misses and false acceptances are equal.

    As the threshold falls, misses fall from 1 and false acceptances rise from 0, so their gap is 1 minus the shares of
    all accepted pairs, whatever their kind.
    """
    order_N, last_K = _thresholds(scores_N)
    ordered_NR = shares_NR[order_N]
    gaps_KR = 1 - np.cumsum(ordered_NR, axis=0)[last_K]
    after_R = (gaps_KR <= 0).argmax(axis=0)
    every_R = np.arange(gaps_KR.shape[1])
    # False acceptances at the thresholds before and behind the crossing: of pairs of two speakers alone.
    impostor_N = same_N[order_N] == 0
    alarms_QR = np.pad(np.cumsum(ordered_NR[impostor_N], axis=0), ((1, 0), (0, 0)))
    count_K = np.concatenate([[0], np.cumsum(impostor_N)[last_K]])
    start_R, end_R = alarms_QR[count_K[after_R], every_R], alarms_QR[count_K[after_R + 1], every_R]
    before_R = np.where(after_R > 0, gaps_KR[after_R - 1, every_R], 1.0)
    share_R = before_R / (before_R - gaps_KR[after_R, every_R])
    crossings_R: Floats = 100 * (start_R + share_R * (end_R - start_R))
    return crossings_R
