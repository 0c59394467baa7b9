import numpy as np
import pytest
from scipy.stats import binom, bootstrap

from raysearch.tasks.interval import rate_interval


def test_interval_single_words_against_binomial() -> None:
    """Cuts of one word each: the bootstrap distribution of the errors is binomial, its quantiles are known."""
    errors_C = np.repeat([1, 0], [60, 140])
    score = rate_interval(errors_C, np.ones(200), seed=0)
    low, high = binom.ppf([0.025, 0.975], 200, 0.3) / 2
    assert score.value == pytest.approx(30)
    assert (score.low, score.high) == pytest.approx((low, high), abs=0.75)


def test_interval_unequal_cuts_against_brute_force() -> None:
    rng = np.random.default_rng(1)
    lengths_C = rng.integers(1, 30, size=40)
    errors_C = rng.binomial(lengths_C, 0.2)
    rates = []
    for _ in range(5_000):
        drawn = rng.choice(40, size=40)
        rates.append(100 * errors_C[drawn].sum() / lengths_C[drawn].sum())
    score = rate_interval(errors_C, lengths_C, seed=0)
    assert score.value == pytest.approx(100 * errors_C.sum() / lengths_C.sum())
    # Two standard errors of a 2.5 % quantile from 2,000 draws are about a tenth of the spread.
    assert (score.low, score.high) == pytest.approx(tuple(np.percentile(rates, [2.5, 97.5])), abs=0.2 * np.std(rates))


def test_interval_same_seed_same_bounds() -> None:
    errors_C, lengths_C = [1, 0, 2, 5], [5, 5, 6, 7]
    assert rate_interval(errors_C, lengths_C, seed=3) == rate_interval(errors_C, lengths_C, seed=3)


def test_interval_wider_level_holds_narrower() -> None:
    errors_C, lengths_C = [1, 0, 2, 5, 1, 1], [5, 5, 6, 7, 8, 9]
    wide = rate_interval(errors_C, lengths_C, level=0.99, seed=0)
    narrow = rate_interval(errors_C, lengths_C, level=0.5, seed=0)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_interval_no_errors_is_zero_wide() -> None:
    score = rate_interval([0, 0, 0], [3, 4, 5], seed=0)
    assert (score.value, score.low, score.high) == (0, 0, 0)


def test_interval_one_cut_claims_nothing() -> None:
    score = rate_interval([3], [2], seed=0)
    assert (score.value, score.low, score.high) == (150, 0, 150)


def test_interval_wordless_cuts_stay_finite() -> None:
    score = rate_interval([1, 0, 2], [0, 0, 4], seed=0)
    assert np.isfinite([score.value, score.low, score.high]).all()


def test_interval_without_words_is_refused() -> None:
    with pytest.raises(ValueError, match="empty references"):
        rate_interval([1, 2], [0, 0], seed=0)


def test_interval_is_that_of_scipy() -> None:
    rng = np.random.default_rng(2)
    lengths_C = rng.integers(1, 30, size=60)
    errors_C = rng.binomial(lengths_C, 0.2)

    def rate(errors, lengths, axis):
        return 100 * errors.sum(axis=axis) / lengths.sum(axis=axis)

    how = {"n_resamples": 2_000, "batch": 200, "paired": True, "method": "percentile"}
    expected = bootstrap((errors_C, lengths_C), rate, rng=np.random.default_rng(7), **how).confidence_interval
    score = rate_interval(errors_C, lengths_C, seed=7)
    assert (score.low, score.high) == pytest.approx((expected.low, expected.high), abs=1e-9)
