"""Lets one worker at a time build a thing that many workers need, such as a label set, over all nodes of a Ray cluster.

File locks would not do: not every file system that nodes share has them. Instead one Ray actor, the tower, says who
builds. It lives on the head node. Builders tell it every few seconds that they are alive; one that falls silent loses
its place to the next. If the tower itself is lost, two workers may build the same thing. That costs time, but the
result is the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import ray
from ray.exceptions import RayActorError

BEAT_S = 5.0
"""Seconds between two signs of life of a builder."""
SILENCE_S = 60.0
"""A builder that has been silent for so many seconds counts as dead."""
POLL_S = 1.0
"""Seconds after which a worker that waits asks the tower again."""


class Tower:
    """The actor that says which worker may build which thing."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flights: dict[str, tuple[str, float]] = {}

    def take(self, name: str, builder: str) -> bool:
        """Whether `builder` may build the thing with this name now. Asking again is its sign of life."""
        holder, heard_s = self._flights.get(name, (builder, 0.0))
        if holder != builder and self._clock() - heard_s < SILENCE_S:
            return False
        self._flights[name] = (builder, self._clock())
        return True

    def release(self, name: str, builder: str) -> None:
        # A builder that was silent for too long may have lost the name: it must not end the flight of the next one.
        if self._flights.get(name, ("", 0.0))[0] == builder:
            del self._flights[name]


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Waits until no other worker on the cluster is within a block of the same name, then runs the block."""
    builder, done = os.urandom(8).hex(), threading.Event()
    while not _may_build(name, builder):
        time.sleep(POLL_S)

    def beat() -> None:
        while not done.wait(BEAT_S):
            _tower().take.remote(name, builder)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        done.set()
        with suppress(RayActorError):  # a tower that died has forgotten who builds
            ray.get(_tower().release.remote(name, builder))


def _may_build(name: str, builder: str) -> bool:
    """What the tower says. One that has died says nothing, and whoever asks next makes another."""
    try:
        return bool(ray.get(_tower().take.remote(name, builder)))
    except RayActorError:
        return False


def _tower() -> Any:
    # A thousandth of a resource that only the head node has puts the tower there: without the head there is no cluster.
    # "DEFAULT": who asks may sit in a placement group, which has no room for the tower and ends before it.
    place = {"resources": {"node:__internal_head__": 0.001}, "num_cpus": 0, "scheduling_strategy": "DEFAULT"}
    known = {"name": "tower", "namespace": "raysearch", "get_if_exists": True, "lifetime": "detached"}
    return ray.remote(Tower).options(**place, **known).remote()
