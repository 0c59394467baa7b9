"""When training asks whether something from outside ends it: about once a second, however long an update takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from raysearch.errors import WorkError
from raysearch.training.monitoring.limit import DrainedError, OverTimeError, is_leaving, is_over
from raysearch.training.process import as_first

ASK_S = 1.0
"""Seconds from one question to the next, if updates are not longer."""


class Asking:
    """The questions of one run. All processes ask after the same updates, so that all end after the same one."""

    def __init__(self, step: int, clock: Callable[[], float] = time.monotonic) -> None:
        """`step`: updates that are done already."""
        self._clock = clock
        self._asked, self._asked_s = step, clock()
        self._next = step + 1

    def due(self, step: int) -> bool:
        """Whether to ask after this update."""
        return step >= self._next

    def ask(self, step: int, budget: int) -> WorkError | None:
        """What ends the run after this update. None if nothing does."""
        leaving = is_leaving()
        each_s = (self._clock() - self._asked_s) / (step - self._asked)
        over, ahead = as_first((is_over(), max(1, int(ASK_S / max(each_s, 1e-6)))))
        self._asked, self._asked_s, self._next = step, self._clock(), step + ahead
        kept = f"at update {step} of {budget}; its checkpoint is kept"
        if leaving:
            return DrainedError(f"its machine goes, {kept}")
        return OverTimeError(f"its time was over {kept}") if over else None
