"""What ends a trial from outside: the time that it may take is over, or the machine that it runs on goes.

with limited(lambda: clock() > end, leaving):   # in one process
    ...                # training that ends itself with a checkpoint once one of the two says so

This file is read where no trial is trained, so it needs no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raysearch.errors import WorkError

_over: Callable[[], bool] | None = None
_leaving: Callable[[], bool] | None = None


class OverTimeError(WorkError):
    """A trial has taken all the time that it may take. Its checkpoint was written just before."""


class DrainedError(WorkError):
    """A machine of the trial is about to go. If that was heard in time, its checkpoint was written just before."""


def is_over() -> bool:
    """Whether the time is over. Without a limit it never is."""
    return _over is not None and _over()


def is_leaving() -> bool:
    """Whether a machine goes on which the trial runs. All processes of the trial must ask, and all get one answer."""
    return _leaving is not None and _leaving()


@contextmanager
def limited(over: Callable[[], bool], leaving: Callable[[], bool] | None = None) -> Iterator[None]:
    """A context in which training ends once `over` says so, or `leaving`, which has one answer for all processes."""
    global _over, _leaving
    before, (_over, _leaving) = (_over, _leaving), (over, leaving)
    try:
        yield
    finally:
        _over, _leaving = before
