"""Following a search with hand-made clocks and servers: nothing here waits."""

import logging

import pytest

from raysearch.tracking.follow import follow
from tests.tracking.made_up_states import record, state


class Clock:
    def __init__(self):
        self.now = 0.0

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.now += seconds


class FakeMirror:
    """Each sync takes `takes` seconds, a request a second, and fails while `down(now)`."""

    tracking_uri = "http://nowhere"

    def __init__(self, clock, down=lambda now: False, takes=0):
        self.clock, self.down, self.takes = clock, down, takes
        self.tried, self.done = [], []

    def sync(self, state, expired):
        self.tried.append(self.clock.now)
        for _ in range(self.takes):
            if expired():
                raise TimeoutError("no time left")
            self.clock.now += 1
        if self.down(self.clock.now):
            raise ConnectionError("refused")
        self.done.append(state)


def run(clock, mirror, until, period_s=5.0, **kept):
    return follow(
        lambda: state([record(0)]), mirror, lambda: clock.now >= until, period_s, clock=clock, sleep=clock.sleep, **kept
    )


def test_follow_syncs_each_period_and_once_more_at_the_end():
    clock = Clock()
    mirror = FakeMirror(clock)
    assert run(clock, mirror, until=12)
    assert mirror.tried == [0, 5, 10, 12]


def test_dead_server_is_tried_less_and_less_and_logged_at_most_each_minute(caplog):
    clock = Clock()
    mirror = FakeMirror(clock, down=lambda now: True)
    with caplog.at_level(logging.WARNING):
        assert not run(clock, mirror, until=1800)
    assert mirror.tried[:6] == [0, 10, 30, 70, 130, 190]
    assert len(caplog.records) <= 1800 / 60 + 1
    assert "http://nowhere" in caplog.records[0].message
    assert "ConnectionError: refused" in caplog.records[0].message


def test_server_that_returns_is_filled():
    clock = Clock()
    mirror = FakeMirror(clock, down=lambda now: now < 100)
    assert run(clock, mirror, until=200)
    assert len(mirror.done) >= 2


def test_stalling_server_cannot_hold_the_end_beyond_the_limit():
    clock = Clock()
    mirror = FakeMirror(clock, takes=10_000)
    assert not run(clock, mirror, until=50, last_s=30)
    assert 80 <= clock.now <= 83


def test_long_sync_that_fits_the_limit_is_finished():
    clock = Clock()
    mirror = FakeMirror(clock, takes=14)
    assert run(clock, mirror, until=10, last_s=30)
    assert len(mirror.done) == 2


@pytest.mark.parametrize("fault", [OSError("torn"), ValueError("torn"), KeyError()])
def test_unreadable_state_does_not_end_the_mirror(fault):
    clock = Clock()
    mirror = FakeMirror(clock)
    faults = [fault]

    def read():
        if faults:
            raise faults.pop()
        return state([record(0)])

    assert follow(read, mirror, lambda: clock.now >= 20, 5.0, clock=clock, sleep=clock.sleep)
    assert mirror.tried == [10, 15, 20]
