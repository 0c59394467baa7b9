"""Shows how a search goes while it runs: a live table on a terminal, or in a log one plain line for each event."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from raysearch.front.document import document as build_document
from raysearch.front.objective import errors_of, unit
from raysearch.front.trials import TrialRecord
from raysearch.lanes.source import DRAINED
from raysearch.search.repeats import over_seeds
from raysearch.search.study import Study
from raysearch.search.watching.works import WorkLines, Works, bars
from raysearch.spec.budget import ENDLESS
from raysearch.spec.document import Spec
from raysearch.targets.settings import POINTS_PER_CLUSTER

SHOWN_TRIALS = 12
"""Rows of the live table. They show the running trials and the latest of the others."""


def make_progress(spec: Spec, study: Study, trials: int, say: Callable[[str], None]) -> Lines:
    """A live table where stderr is a terminal, and plain lines where it is not."""
    return LiveTable(spec, study, trials, say) if sys.stderr.isatty() else Lines(spec, study, trials, say)


class Lines:
    """Says one line when a trial starts, reaches a rung or ends."""

    def __init__(
        self,
        spec: Spec,
        study: Study,
        trials: int,
        say: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._study = study
        self._trials = trials
        self._say = say
        self._clock = clock
        self._began_s = clock()
        self._ended_before = _ended(study.records())
        self._errors = errors_of(spec.objectives)
        self._lines = WorkLines(say, clock)
        self._running: set[str] = set()
        self._left: set[int] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Ends what is drawn, so that whatever is said next stands below it."""

    def show(self, works: Works) -> None:
        """Takes in how far trials are. Of those that were lost, the last word is there still."""
        self._show({place: step for place, step in works.items() if place in self._running})

    def _show(self, works: Works) -> None:
        self._lines.show(works)

    def heard(self, event: str, number: int) -> None:
        """Takes in what happened to a trial.

        It started (`start`), goes on from a rung (`rung`), was left at a rung (`stop`), leaves a machine that is about
        to go (`drained`), or ended (`end`).
        """
        (self._running.add if event in ("start", "rung") else self._running.discard)(f"trial {number}")
        self._tell(event, number)

    def _tell(self, event: str, number: int) -> None:
        record = self._study.record(number)
        if event == "end" and number in self._left:
            return  # this was said when the trial was left at a rung
        (self._left.add if event == "stop" else self._left.discard)(number)
        self._say(f"trial {number:3d}  {self._event(event, record)}")

    def close(self) -> None:
        """Says how the search ended."""
        self._say(f"done in {self._clock() - self._began_s:.0f} s: {self._summary()}")
        self._warn_of_small_clusters()

    def _warn_of_small_clusters(self) -> None:
        few = {
            record.number: cuts
            for record in self._study.records()
            if (cuts := record.metrics.get("targets/cuts_per_cluster", math.inf)) < POINTS_PER_CLUSTER
        }
        if few:
            trials = ", ".join(map(str, sorted(few)))
            self._say(
                f"pseudo-labels of trials {trials}: down to {min(few.values()):.1f} cuts a cluster; at least "
                f"{POINTS_PER_CLUSTER} are advised: lower targets.clusters"
            )

    def _event(self, event: str, record: TrialRecord) -> str:
        if event == "start":
            again = "" if record.repeats is None else f"trial {record.repeats} again: "
            return f"starts  {again}{record.cost.macs_g:7.1f} GMAC{_charged(record)}  {_settings(record)}"
        if record.state == "failed":
            return f"failed ({record.cause}): {_last_line(record.error)}"
        if event in ("end", DRAINED) and record.state == "running":
            gone = "leaves its machine" if event == DRAINED else "lost its workers"
            return f"{gone}; runs again from its checkpoint"
        state = "goes on" if event == "rung" else record.state
        return (
            f"rung {record.rung}  {state}  {self._measured(record)}  {record.cost.macs_g:7.1f} GMAC  {self._summary()}"
        )

    def _measured(self, record: TrialRecord) -> str:
        measured = ((name, record.metrics.get(f"eval/{name}")) for name in self._errors)
        return "  ".join(f"{name} {error:5.1f} %" for name, error in measured if error is not None)

    def _summary(self) -> str:
        records = over_seeds(self._study.records())
        reference = self._study.about["reference_point"]
        found = build_document(self._spec.name, self._spec.objectives, records, reference)
        ended = _ended(records)
        # A search that is resumed with fewer trials than it has keeps them all.
        asked = max(ended, self._trials)
        counted = f"{ended} trials" if asked == ENDLESS else f"{ended}/{asked} trials"
        line = f"front {len(found.front)}  hypervolume {found.hypervolume:.0f}  {counted}"
        # A resumed search has trials that an earlier driver ended: they say nothing about the pace of this one.
        ended_here = ended - self._ended_before
        if ended_here and ended < self._trials < ENDLESS:
            left_s = (self._clock() - self._began_s) / ended_here * (self._trials - ended)
            line += f"  ~{left_s / 60:.0f} min left"
        return line


class LiveTable(Lines):
    """Shows the running and the latest trials in a table that is drawn anew at each event."""

    def __init__(self, spec: Spec, study: Study, trials: int, say: Callable[[str], None]) -> None:
        super().__init__(spec, study, trials, say)
        self._live = Live(console=Console(stderr=True), auto_refresh=False)
        self._rows = self._table()
        self._works: Works = {}

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, err: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._works = {}
        self._draw()
        self._live.stop()

    def _tell(self, event: str, number: int) -> None:
        # The thread that ends trials builds the rows: another one would read the study while this one writes it.
        self._rows = self._table()
        self._draw()

    def _show(self, works: Works) -> None:
        self._works = works
        self._draw()

    def _draw(self) -> None:
        self._live.update(Group(self._rows, bars(self._works)), refresh=True)

    def _table(self) -> Table:
        table = Table(caption=self._summary(), caption_justify="left")
        for column in ("trial", "state", "rung", *(f"{name} %" for name in self._errors), "MACs G", "settings"):
            table.add_column(column, justify="left" if column in ("state", "settings") else "right")
        # Refused suggestions cost nothing, and hundreds of them would push the trials off the table.
        records = [record for record in self._study.records() if record.state != "infeasible"]
        latest = sorted(records, key=lambda record: (record.state == "running", record.number))[-SHOWN_TRIALS:]
        for record in latest:
            measured = [record.metrics.get(f"eval/{name}") for name in self._errors]
            table.add_row(
                str(record.number),
                record.state,
                "" if record.rung is None else str(record.rung),
                *("" if error is None else f"{error:.1f}" for error in measured),
                f"{record.cost.macs_g:.1f}",
                _settings(record),
            )
        return table


def _ended(records: list[TrialRecord]) -> int:
    return sum(record.state not in ("running", "infeasible") and record.repeats is None for record in records)


def _charged(record: TrialRecord) -> str:
    """What a device charges, as far as the search asked for it."""
    known = {name: record.cost.of(name) for name in ("size", "latency")}
    return "".join(f"{number:7.3g} {unit(name)}" for name, number in known.items() if math.isfinite(number))


def _settings(record: TrialRecord) -> str:
    return " ".join(f"{key.rsplit('.', 1)[-1]}={_short(value)}" for key, value in record.config.items())


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _last_line(error: str | None) -> str:
    lines = (error or "").strip().splitlines()
    return lines[-1] if lines else ""
