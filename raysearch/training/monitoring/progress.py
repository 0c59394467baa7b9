"""How far long work is: what is being done, how much of it, how fast. It costs next to nothing while nobody listens.

with heard_by(listener):       # in one process
    ...                        # code that says how far it is: tell("training", 40, 200)
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
Listener = Callable[[str, int, int, str, float | None], None]
"""Function that takes what `tell` is given."""
_listener: Listener | None = None


@dataclass(frozen=True)
class Step:
    """How far one piece of work is. All of it can go through JSON."""

    name: str
    """What is being done, in a word or two."""
    done: int
    total: int
    unit: str
    """What is counted, such as `updates` or `cuts`."""
    loss: float | None = None
    rate: float | None = None
    """How many are done in a second. None until that can be said."""

    @property
    def left_s(self) -> float | None:
        """Seconds until it is done, at the rate so far."""
        return (self.total - self.done) / self.rate if self.rate else None

    def __str__(self) -> str:
        parts = [f"{self.name} {self.done}/{self.total} {self.unit}"]
        parts += [] if self.loss is None else [f"loss {self.loss:.3g}"]
        parts += [] if self.rate is None else [f"{self.rate:.3g}/s"]
        parts += [] if self.left_s is None else [f"{duration(self.left_s)} left"]
        return ", ".join(parts)


class Watch:
    """A listener that keeps the latest step and works out its rate. Another thread may read it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._began: tuple[str, int, float] | None = None
        self.step: Step | None = None
        """The latest step; None before anything was told."""

    def __call__(self, name: str, done: int, total: int, unit: str, loss: float | None) -> None:
        now_s = self._clock()
        # What counts backwards has begun anew. Resumed work begins where it was, and that was not done just now.
        if self._began is None or self._began[0] != name or (self.step and done < self.step.done):
            self._began = (name, done, now_s)
        _, first, began_s = self._began
        rate = (done - first) / (now_s - began_s) if done > first and now_s > began_s else None
        self.step = Step(name, done, total, unit, loss, rate)


def tell(name: str, done: int, total: int, unit: str = "updates", loss: float | None = None) -> None:
    """Says how far a piece of work is, to whoever listens."""
    if _listener is not None:
        _listener(name, done, total, unit, loss)


def counted(items: Iterable[T], name: str, total: int, unit: str = "cuts") -> Iterator[T]:
    """The items, each of which is told as done when the next one is asked for."""
    tell(name, 0, total, unit)
    for done, item in enumerate(items, 1):
        yield item
        tell(name, done, total, unit)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """A context in which `listener` hears how far the work of this process is."""
    global _listener
    before, _listener = _listener, listener
    try:
        yield
    finally:
        _listener = before


@contextmanager
def overheard_by(listener: Listener) -> Iterator[None]:
    """As `heard_by`, but whoever listens already goes on hearing."""
    others = _listener

    def both(name: str, done: int, total: int, unit: str, loss: float | None) -> None:
        listener(name, done, total, unit, loss)
        if others is not None:
            others(name, done, total, unit, loss)

    with heard_by(both):
        yield


def duration(seconds: float) -> str:
    """Seconds in the unit that suits them: `40 s`, `12 min` or `3.5 h`."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
