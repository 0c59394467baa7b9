"""Stopping on two objectives and on three, checked with trials made by hand."""

import numpy as np

from raysearch.search.scheduler import keeps_going


def test_first_at_a_rung_goes_on() -> None:
    assert keeps_going((10.0, 90.0), [])


def test_dominated_by_both_others_stops() -> None:
    assert not keeps_going((20.0, 60.0), [(10.0, 50.0), (15.0, 40.0)])


def test_non_dominated_of_three_goes_on() -> None:
    assert keeps_going((5.0, 70.0), [(20.0, 30.0), (25.0, 40.0), (30.0, 50.0)])


def test_least_contribution_within_a_rank_stops() -> None:
    # Four on one front: the one squeezed between two near neighbours adds least.
    others = [(1.0, 80.0), (10.0, 40.0), (100.0, 10.0)]
    assert not keeps_going((10.5, 39.9), others, eta=4)


def test_cheap_and_bad_is_not_stopped_by_dear_and_good() -> None:
    assert keeps_going((1.0, 90.0), [(100.0, 20.0)])


def test_best_in_a_third_objective_goes_on() -> None:
    others = [(10.0, 50.0, 20.0), (15.0, 55.0, 25.0), (16.0, 56.0, 26.0)]
    assert not keeps_going((20.0, 60.0, 27.0), others)
    assert keeps_going((20.0, 60.0, 5.0), others)


def test_both_costs_count_by_their_logarithm() -> None:
    # To square a cost is to double its logarithm everywhere, which leaves all shares of the hypervolume as they are.
    rng = np.random.default_rng(0)
    for _ in range(50):
        points = rng.uniform([1, 1, 10], [100, 100, 90], (12, 3))
        squared = points ** [1, 2, 1]
        decided = [keeps_going(tuple(these[0]), [*map(tuple, these[1:])], costs=2) for these in (points, squared)]
        assert decided[0] == decided[1]
