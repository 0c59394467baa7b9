"""Against closed forms for Gaussian scores, and against every threshold by brute force."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import norm

from raysearch.tasks.speaker.detection import det_curve, eer, eer_score, min_dcf

SCORES = st.lists(st.integers(-4, 4), min_size=1, max_size=8)
"""Few values, so that most lists have ties."""


def brute_rates(targets, impostors):
    """Misses and false acceptances at every threshold, highest first, none accepted before them."""
    thresholds = [np.inf, *sorted({*targets, *impostors}, reverse=True)]
    return [(np.mean(np.array(targets) < t), np.mean(np.array(impostors) >= t)) for t in thresholds]


@pytest.mark.parametrize("distance", [1.0, 3.0])
def test_gaussian_scores_give_the_analytic_error(distance):
    quantiles = (np.arange(20_000) + 0.5) / 20_000
    scores = norm.ppf(quantiles)
    assert eer(scores + distance, scores) == pytest.approx(100 * norm.cdf(-distance / 2), abs=0.02)


@pytest.mark.parametrize("p_target", [0.01, 0.05, 0.5])
def test_gaussian_scores_give_the_analytic_cost(p_target):
    scores, distance = norm.ppf((np.arange(20_000) + 0.5) / 20_000), 2.0
    threshold = distance / 2 + np.log((1 - p_target) / p_target) / distance
    cost = p_target * norm.cdf(threshold - distance) + (1 - p_target) * norm.sf(threshold)
    # One false acceptance in 20,000 costs up to 99 / 20,000 here.
    assert min_dcf(scores + distance, scores, p_target) == pytest.approx(cost / min(p_target, 1 - p_target), abs=5e-3)


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES)
def test_curve_is_that_of_all_thresholds(targets, impostors):
    misses, alarms = det_curve(targets, impostors)
    assert list(zip(misses, alarms, strict=True)) == [pytest.approx(one) for one in brute_rates(targets, impostors)]


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES)
def test_eer_lies_where_the_interpolated_curve_crosses(targets, impostors):
    rates = np.array(brute_rates(targets, impostors))
    points = np.concatenate([np.linspace(a, b, 2_001) for a, b in pairwise(rates)])
    nearest = points[np.abs(points[:, 0] - points[:, 1]).argmin()]
    assert eer(targets, impostors) == pytest.approx(100 * nearest.mean(), abs=0.06)


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES, st.sampled_from([0.05, 0.5, 0.9]))
def test_cost_is_the_least_of_all_thresholds(targets, impostors, p_target):
    least = min(p_target * miss + (1 - p_target) * alarm for miss, alarm in brute_rates(targets, impostors))
    assert min_dcf(targets, impostors, p_target) == pytest.approx(least / min(p_target, 1 - p_target))


@settings(max_examples=60, deadline=None)
@given(SCORES, SCORES)
def test_scores_turned_round_give_the_rest(targets, impostors):
    turned = eer([-score for score in targets], [-score for score in impostors])
    assert turned == pytest.approx(100 - eer(targets, impostors))


@pytest.mark.parametrize(
    ("targets", "impostors", "expected"),
    [([1.0], [0.0], 0.0), ([0.0], [1.0], 100.0), ([1.0, 1.0], [1.0, 1.0, 1.0], 50.0), ([2.0, 0.0], [1.0], 50.0)],
)
def test_tiny_lists(targets, impostors, expected):
    assert eer(targets, impostors) == pytest.approx(expected)


def test_one_kind_of_pair_is_refused():
    with pytest.raises(ValueError, match="0 target and 1 impostor pairs"):
        eer([], [1.0])


def drawn(rng, speakers, spread):
    """Every pair of three cuts a speaker; a speaker's own level moves all of his scores."""
    levels = rng.normal(0, spread, size=speakers)
    cuts = [(speaker, cut) for speaker in range(speakers) for cut in range(3)]
    pairs = [(a, b) for i, a in enumerate(cuts) for b in cuts[i + 1 :]]
    same = np.array([a[0] == b[0] for a, b in pairs])
    scores = 2.0 * same + np.array([levels[a[0]] + levels[b[0]] for a, b in pairs]) + rng.normal(size=len(pairs))
    return scores, same, [(str(a[0]), str(b[0])) for a, b in pairs]


def test_interval_holds_the_value_and_widens_as_speakers_differ():
    narrow, wide = (eer_score(*drawn(np.random.default_rng(1), 12, spread), seed=0) for spread in (0.0, 1.5))
    for score in (narrow, wide):
        assert score.low <= score.value <= score.high
    assert wide.high - wide.low > 1.3 * (narrow.high - narrow.low)
    assert wide.counts == {"targets": 36, "impostors": 594, "speakers": 12}


def test_interval_is_the_same_for_the_same_seed_and_affine_scores():
    scores, same, speakers = drawn(np.random.default_rng(2), 6, 0.5)
    assert eer_score(scores, same, speakers, seed=3) == eer_score(scores, same, speakers, seed=3)
    assert eer_score(2 * scores + 1, same, speakers, seed=3) == eer_score(scores, same, speakers, seed=3)


def test_weights_count_as_copies():
    # Two speakers: most resamples hold one of them alone, and say nothing.
    score = eer_score([1.0, 0.5, 0.7], [1, 1, 0], [("a", "a"), ("b", "b"), ("a", "b")], seed=0)
    assert (score.low, score.value, score.high) == (50.0, 50.0, 50.0)
