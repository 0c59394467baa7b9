"""How many lanes of a search may run now: so many as the document says, or as many as fit the cluster."""

from __future__ import annotations

import time
from collections.abc import Callable

from raysearch.cluster.resources import workers_that_fit
from raysearch.lanes.lane import LaneSetup

LOOK_S = 2.0
"""Seconds from one look at the nodes to the next."""


class Room:
    """The number of lanes that may run. It changes with the cluster where the document leaves it open."""

    def __init__(
        self,
        setup: LaneSetup,
        lanes: int | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`lanes`: how many there are. None if they are to be as many as fit."""
        self._setup = setup
        self.changed: Callable[[int], None] = lambda lanes: None
        """Hears of each change."""
        self._clock = clock
        self._is_open = lanes is None
        self._looked_s = clock()
        self.lanes = lanes or self._fitting()
        """How many there were at the last look."""

    def look(self) -> int:
        """How many lanes may run now."""
        if self._is_open and self._clock() - self._looked_s >= LOOK_S:
            before, self.lanes, self._looked_s = self.lanes, self._fitting(), self._clock()
            if self.lanes != before:
                self.changed(self.lanes)
        return self.lanes

    def _fitting(self) -> int:
        # One lane is always asked for: on a cluster without a worker it waits for one, and an autoscaler sees that.
        return max(1, workers_that_fit(self._setup.cpus, self._setup.use_gpu) // self._setup.num_workers)
