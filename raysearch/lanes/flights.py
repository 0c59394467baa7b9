"""One builder at a time over all nodes of a Ray cluster, whatever their file systems know of locks.

The tower is one actor for the whole cluster, on the head. A builder gives signs of life; one that has died gives way.
If the tower itself is lost, two may build the same thing: it costs time, and the result is the same.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import ray

BEAT_S = 5.0
SILENCE_S = 60.0
"""A builder that has been silent for so long is dead."""
POLL_S = 1.0


class Tower:
    """Says who may build what."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._flights: dict[str, tuple[str, float]] = {}

    def take(self, name: str, builder: str) -> bool:
        """Whether `builder` has the name now; asking again is a sign of life."""
        holder, heard_s = self._flights.get(name, (builder, 0.0))
        if holder != builder and self._clock() - heard_s < SILENCE_S:
            return False
        self._flights[name] = (builder, self._clock())
        return True

    def release(self, name: str, builder: str) -> None:
        if self._flights.get(name, ("", 0.0))[0] == builder:
            del self._flights[name]


@contextmanager
def one_at_a_time(name: str) -> Iterator[None]:
    """Waits until nobody else on the cluster is within this block with the same name."""
    builder, done = os.urandom(8).hex(), threading.Event()
    while not ray.get(_tower().take.remote(name, builder)):
        time.sleep(POLL_S)

    def beat() -> None:
        while not done.wait(BEAT_S):
            _tower().take.remote(name, builder)

    threading.Thread(target=beat, daemon=True).start()
    try:
        yield
    finally:
        done.set()
        ray.get(_tower().release.remote(name, builder))


def _tower() -> Any:
    # "DEFAULT": who asks may sit in a placement group, which has no room for the tower and ends before it.
    place = {"resources": {"node:__internal_head__": 0.001}, "num_cpus": 0, "scheduling_strategy": "DEFAULT"}
    known = {"name": "tower", "namespace": "raysearch", "get_if_exists": True, "lifetime": "detached"}
    return ray.remote(Tower).options(**place, **known).remote()
