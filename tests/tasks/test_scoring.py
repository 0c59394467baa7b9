import numpy as np
import pytest

from raysearch.tasks.scoring import as_norm, cohort, cosines


@pytest.fixture
def sides():
    rng = np.random.default_rng(0)
    return rng.normal(size=8), rng.normal(size=(8, 30)), rng.normal(size=(8, 30))


def test_as_norm_ignores_an_affine_change_of_all_scores(sides):
    changed = as_norm(*(3 * scores - 2 for scores in sides), nearest=10)
    assert changed == pytest.approx(as_norm(*sides, nearest=10))


def test_as_norm_is_the_mean_of_both_halves(sides):
    scores, one, other = sides
    halves = [as_norm(scores, side, side, nearest=10) for side in (one, other)]
    assert as_norm(*sides, nearest=10) == pytest.approx((halves[0] + halves[1]) / 2)


def test_as_norm_with_the_whole_cohort_is_s_norm(sides):
    scores, one, other = sides
    expected = sum((scores - side.mean(1)) / side.std(1) for side in (one, other)) / 2
    assert as_norm(*sides, nearest=30) == pytest.approx(expected)
    assert as_norm(scores, other, one, nearest=5) == pytest.approx(as_norm(*sides, nearest=5))


def test_cosine_and_cohort_ignore_lengths():
    rng = np.random.default_rng(0)
    x, lengths, speakers = rng.normal(size=(6, 4)), rng.uniform(0.1, 9, size=(6, 1)), list("aabbcc")
    assert cosines(x * lengths, x[::-1]) == pytest.approx(cosines(x, x[::-1]))
    assert cohort(x * lengths, speakers) == pytest.approx(cohort(x, speakers))
    assert np.linalg.norm(cohort(x, speakers), axis=1) == pytest.approx(1)
