"""Training asks about once a second what ends it, and the sooner of its machine and its time is not what counts."""

import pytest

from raysearch.training.monitoring.asking import Asking
from raysearch.training.monitoring.limit import DrainedError, OverTimeError, limited


@pytest.mark.parametrize(("update_s", "asked"), [(0.25, [1, 5, 9, 13]), (3.0, list(range(1, 15)))])
def test_asks_about_once_a_second(update_s: float, asked: list[int]) -> None:
    now_s = [0.0]
    asking = Asking(0, lambda: now_s[0])
    found = []
    for step in range(1, 15):
        now_s[0] += update_s
        if asking.due(step):
            found.append(step)
            assert asking.ask(step, 15) is None
    assert found == asked


def test_machine_that_goes_is_told_before_time_that_is_over() -> None:
    """A trial that is out of time ends for good, and one whose machine goes may still have time."""
    with limited(lambda: True, leaving=lambda: True):
        assert isinstance(Asking(0).ask(1, 9), DrainedError)
    with limited(lambda: True, leaving=lambda: False):
        assert isinstance(Asking(0).ask(1, 9), OverTimeError)
    assert Asking(0).ask(1, 9) is None
