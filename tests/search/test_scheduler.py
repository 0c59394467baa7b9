"""Stopping on two objectives, checked with trials made by hand."""

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
