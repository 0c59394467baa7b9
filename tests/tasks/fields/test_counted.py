"""Figures from counts, against scikit-learn; intervals that hold what they should."""

import numpy as np
import pytest
from sklearn.metrics import f1_score

from raysearch.evidence.resampling import share
from raysearch.tasks.fields.counted import counted_interval, f1, macro_f1


def by_class(wanted, read, classes):
    w, r = (np.eye(classes)[each] for each in (wanted, read))
    return np.concatenate([w * r, r * (1 - w), w * (1 - r)], axis=1)


@pytest.mark.parametrize("seed", range(5))
def test_macro_f1_against_scikit_learn(seed):
    rng = np.random.default_rng(seed)
    wanted, read = rng.integers(5, size=(2, 30))
    read[rng.random(30) < 0.5] = 0
    found = macro_f1(by_class(wanted, read, 6).sum(0))
    assert found == pytest.approx(100 * f1_score(wanted, read, average="macro", zero_division=0))


def test_f1_without_anything_to_find_is_perfect():
    assert f1(np.zeros(3)) == 100
    assert f1(np.array([0, 1, 0])) == 0


def test_interval_of_a_share_then_near_the_binomial_one():
    wrong = np.zeros(400)
    wrong[:100] = 1
    score = counted_interval([np.stack([wrong, np.ones(400)], axis=1)], share, seed=0)
    half = 196 * np.sqrt(0.25 * 0.75 / 400)
    assert score.value == 25
    assert score.counts == {"cuts": 400}
    assert score.low == pytest.approx(25 - half, abs=0.6)
    assert score.high == pytest.approx(25 + half, abs=0.6)


def test_several_corpora_then_each_counts_the_same():
    small = np.array([[1.0, 1], [1, 1]])
    large = np.array([[0.0, 1]] * 98)
    score = counted_interval([small, large], share, seed=0)
    assert (score.value, score.low, score.high) == (50, 50, 50)


def test_one_cut_tells_nothing_of_spread():
    score = counted_interval([np.array([[0.0, 1]])], share, seed=0)
    assert (score.low, score.high) == (0, 100)
