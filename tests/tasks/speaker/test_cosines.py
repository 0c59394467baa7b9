import numpy as np
import pytest

from raysearch.tasks.speaker.cosines import as_norm, cohort, cohort_moments, cosines


@pytest.fixture
def sides():
    """Scores of eight pairs, and what either side scores with its cohort on average and by how much it varies."""
    rng = np.random.default_rng(0)
    return rng.normal(size=8), *(rng.uniform(0.5, 2, size=(2, 8, 2)))


def test_as_norm_ignores_an_affine_change_of_all_scores(sides):
    scores, *cohorts = sides
    changed = [np.stack([3 * mean - 2, 3 * deviation], axis=1) for mean, deviation in (side.T for side in cohorts)]
    assert as_norm(3 * scores - 2, *changed) == pytest.approx(as_norm(*sides))


def test_as_norm_is_the_mean_of_both_halves_and_symmetric(sides):
    scores, one, other = sides
    halves = [as_norm(scores, side, side) for side in (one, other)]
    assert as_norm(*sides) == pytest.approx((halves[0] + halves[1]) / 2)
    assert as_norm(scores, other, one) == pytest.approx(as_norm(*sides))


@pytest.mark.parametrize("nearest", [1, 4, 30])
def test_moments_are_those_of_the_nearest(nearest):
    rng = np.random.default_rng(0)
    embeddings, others = rng.normal(size=(8, 5)), rng.normal(size=(30, 5))
    expected = []
    for row in embeddings:
        top = sorted((cosines(row[None], other[None])[0] for other in others), reverse=True)[:nearest]
        expected.append([np.mean(top), max(np.std(top), 1e-12)])
    assert cohort_moments(7 * embeddings, 2 * others, nearest) == pytest.approx(np.array(expected))


def test_cosine_and_cohort_ignore_lengths():
    rng = np.random.default_rng(0)
    x, lengths, speakers = rng.normal(size=(6, 4)), rng.uniform(0.1, 9, size=(6, 1)), list("aabbcc")
    assert cosines(x * lengths, x[::-1]) == pytest.approx(cosines(x, x[::-1]))
    assert cohort(x * lengths, speakers) == pytest.approx(cohort(x, speakers))
    assert np.linalg.norm(cohort(x, speakers), axis=1) == pytest.approx(1)
