"""The time that a trial may take. The training loop asks now and then whether it is over.

with limited(lambda: clock() > end):   # in one process
    ...                                # training that ends itself with a checkpoint once it is over
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from raysearch.errors import WorkError

_over: Callable[[], bool] | None = None


class OverTimeError(WorkError):
    """A trial has taken all the time that it may take. Its checkpoint was written just before."""


def is_over() -> bool:
    """Whether the time is over. Without a limit it never is."""
    return _over is not None and _over()


@contextmanager
def limited(over: Callable[[], bool]) -> Iterator[None]:
    """A context in which training ends once `over` says so."""
    global _over
    before, _over = _over, over
    try:
        yield
    finally:
        _over = before
