"""Shows pieces of work that go on: bars on a terminal, or in a log a plain line now and then."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from raysearch.training.monitoring.progress import Step, Watch, duration, heard_by

Works = Mapping[str, Step]
"""How far each piece of work is, by its place, such as `teacher` or `trial 3`."""
LINE_S = 30.0
"""Seconds between two lines on the same work."""
DRAW_S = 0.25
"""Seconds between two drawings, at least."""
SLOW_S = 2.0
"""Seconds after which work that counts nothing says that it goes on."""
BAR_COLUMNS = 20


class WorkLines:
    """Says a line when a place begins something else, and then every `LINE_S` seconds."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._said: dict[str, tuple[str, float]] = {}

    def show(self, works: Works) -> None:
        for place, step in works.items():
            name, at_s = self._said.get(place, ("", 0.0))
            if name != step.name or self._clock() - at_s >= LINE_S:
                self._said[place] = (step.name, self._clock())
                self._say(f"{place}: {step}")


def bars(works: Works) -> Table:
    """A row with a bar for each piece of work."""
    grid = Table.grid(padding=(0, 1))
    for place, step in sorted(works.items()):
        left = "" if step.left_s is None else f"{duration(step.left_s)} left"
        speed = "" if step.rate is None else f"{step.rate:.2g}/s"
        loss = "" if step.loss is None else f"loss {step.loss:.3g}"
        bar = ProgressBar(total=max(1, step.total), completed=step.done, width=BAR_COLUMNS)
        grid.add_row(place, step.name, bar, f"{step.done}/{step.total}", loss, speed, left)
    return grid


@contextmanager
def said_if_slow(line: str, say: Callable[[str], None]) -> Iterator[None]:
    """Says the line when the block takes longer than `SLOW_S` seconds, so that what fails at once stays one line."""
    late = threading.Timer(SLOW_S, say, [line])
    late.daemon = True
    late.start()
    try:
        yield
    finally:
        late.cancel()


@contextmanager
def shown(say: Callable[[str], None]) -> Iterator[Callable[[Works], None]]:
    """Yields a function that shows works: with bars where stderr is a terminal, and with lines where it is not."""
    if not sys.stderr.isatty():
        yield WorkLines(say).show
        return
    live = Live(console=Console(stderr=True), auto_refresh=False)

    def show(works: Works) -> None:
        if works:  # until there is something to show, nothing is drawn, not even an empty line
            live.start()
            live.update(bars(works), refresh=True)

    try:
        yield show
    finally:
        live.stop()


@contextmanager
def shown_here(place: str, say: Callable[[str], None]) -> Iterator[None]:
    """Shows how far the work is that this process does itself within the block."""
    watch, drawn_s = Watch(), 0.0

    def hear(name: str, done: int, total: int, unit: str, loss: float | None) -> None:
        nonlocal drawn_s
        watch(name, done, total, unit, loss)
        if watch.step is not None and (done == total or time.monotonic() - drawn_s >= DRAW_S):
            drawn_s = time.monotonic()
            show({place: watch.step})

    with shown(say) as show, heard_by(hear):
        yield
