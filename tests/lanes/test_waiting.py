"""Work in a thread of its own: what is waited for comes back, and what is seen meanwhile."""

from __future__ import annotations

import threading
from concurrent.futures import TimeoutError as FutureTimeoutError
from types import SimpleNamespace

import pytest

from raysearch.errors import CutOffError
from raysearch.lanes import waiting
from raysearch.lanes.waiting import wait_for


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "TICK_S", 0.001)


def test_work_runs_beside_this_thread_which_ticks() -> None:
    ticked, here = threading.Event(), threading.current_thread()

    def work() -> bool:
        ticked.wait(timeout=60)
        return threading.current_thread() is not here

    assert wait_for(work, ticked.set)


@pytest.mark.parametrize("error", [ValueError, FutureTimeoutError, SystemExit])
def test_what_the_work_raises_is_raised_here(error: type[BaseException]) -> None:
    def work() -> None:
        raise error("broken")

    with pytest.raises(error, match="broken"):
        wait_for(work)


def test_ray_that_dies_is_told_and_no_more_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    alive: list[object] = []
    dead = [("log_monitor", SimpleNamespace(poll=lambda: 1)), ("gcs_server", SimpleNamespace(poll=lambda: -9))]
    node = SimpleNamespace(dead_processes=lambda: dead if alive else [])
    monkeypatch.setattr("ray._private.worker._global_node", node)
    with pytest.raises(CutOffError, match=r"Ray's gcs_server ended \(-9\)"):
        wait_for(threading.Event().wait, lambda: alive.append(1))
    assert alive
