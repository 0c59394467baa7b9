"""Keeps MLflow up to date while a search runs, in a process of its own: a dead server costs the search nothing."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from raysearch.files.secrets import masked

if TYPE_CHECKING:
    from raysearch.tracking.mirror import Mirror
    from raysearch.tracking.state import SearchState

log = logging.getLogger(__name__)

LONGEST_PAUSE_S = 60.0
"""Seconds up to which the pause between two syncs grows while they fail."""
COMPLAINT_S = 60.0
"""Seconds between two log lines while the server is down, at least."""
GLANCE_S = 0.5
"""Seconds after which a pause looks whether it should end."""


def fail_fast() -> None:
    """Makes MLflow's client give up a request after 10 s instead of minutes, in this process and its children.

    The client does not retry either: a run whose creation was answered too late would be created twice.
    """
    os.environ.update(MLFLOW_HTTP_REQUEST_MAX_RETRIES="0", MLFLOW_HTTP_REQUEST_TIMEOUT="10")


def give_way() -> None:
    """Lets trials have the CPU first, before this process and its children: pictures of the front can wait."""
    os.nice(10)


def follow(
    read_state: Callable[[], SearchState],
    mirror: Mirror,
    stop: Callable[[], bool],
    period_s: float,
    *,
    last_s: float = 30.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> bool:
    """Syncs every `period_s` seconds until `stop()` is true, then once more. Returns whether MLflow now has all.

    It never raises. Once `stop()` is true it ends within `last_s` seconds and the time of one request, which is 10 s
    after `fail_fast`.
    """
    attempts = _Attempts(read_state, mirror, clock)
    deadline = inf

    def expired() -> bool:
        nonlocal deadline
        if deadline == inf and stop():
            deadline = clock() + last_s
        return clock() > deadline

    while True:
        last = stop()  # this is asked before the state is read, so that the last sync sees all that there will be
        done = attempts.attempt(expired)
        if last:
            return done
        # A server that is down is asked less and less often, with pauses that double.
        wake = clock() + min(period_s * 2 ** min(attempts.failures, 10), max(LONGEST_PAUSE_S, period_s))
        while clock() < wake and not stop():
            sleep(min(GLANCE_S, wake - clock()))


class _Attempts:
    """Syncs, counts the failures in a row, and logs some of them."""

    def __init__(self, read_state: Callable[[], SearchState], mirror: Mirror, clock: Callable[[], float]) -> None:
        self.read_state = read_state
        self.mirror = mirror
        self.clock = clock
        self.failures = 0
        self.complained_at = -inf

    def attempt(self, expired: Callable[[], bool]) -> bool:
        try:
            self.mirror.sync(self.read_state(), expired)
        # Whatever a server, a network or a disk does: it must not end the mirror while the search goes on.
        except Exception as err:
            self.failures += 1
            self._complain(err)
            return False
        if self.failures:
            log.warning("MLflow at %s answers again; all is mirrored", masked(self.mirror.tracking_uri))
        self.failures = 0
        return True

    def _complain(self, err: Exception) -> None:
        if self.clock() - self.complained_at < COMPLAINT_S:
            return
        self.complained_at = self.clock()
        log.warning(
            "MLflow at %s: sync failed, %d in a row (%s: %s); the search goes on, what is missing is sent later",
            masked(self.mirror.tracking_uri),
            self.failures,
            type(err).__name__,
            masked(str(err).partition("\n")[0]),
        )
