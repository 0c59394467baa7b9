"""How the hypervolume of searches grows with the core-seconds that they take, and how far that differs between seeds.

Trainings that trials share count before the first trial; the teacher's, which all searches have alike, does not. A
trial counts when it ends, with all its seconds, in the order in which trials ended. Searches whose names differ in the
number at their end alone, such as `star-0` and `star-1`, are one search under several seeds.

Shapes: N searches, X numbers of seconds.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.errors import InputError
from raysearch.front.compare import common_reference, reference_text, round_up, volume_text
from raysearch.front.document import SearchDocument
from raysearch.front.drawing import COLOURS, round_ticks
from raysearch.front.front import hypervolume_history
from raysearch.front.seeds.means import MeanOverSeeds
from raysearch.front.table import Column, fitted
from raysearch.settings import Outcome

SEED = re.compile(r"[-_]s?\d+$")
"""What a name ends with that tells the seeds of a search apart."""
BUDGETS = 6
"""Numbers of seconds at which searches are compared, where nobody asks for others."""
CPU, CLOCK = "cpu_seconds", "seconds"
"""Which seconds count: those of cores or, where a search does not know those of all its trials, those of the clock."""
MEASURES = {
    CPU: "core-seconds",
    CLOCK: "seconds of workers, by the clock, since not all trials keep their core-seconds",
}


class VolumeAt(Outcome):
    """The hypervolume after so many seconds."""

    seconds: float
    """Seconds that the search had taken, trainings that trials share included."""
    volume: MeanOverSeeds
    """Hypervolume at the common reference point, of each seed and in the mean."""
    ended: bool
    """Whether a seed had run all its trials before. Its hypervolume stays as it was."""


class Growth(Outcome):
    """How one search grew, under all its seeds."""

    name: str
    """Name of the search, without what tells its seeds apart."""
    searches: list[str]
    """Names of its seeds."""
    measure: str
    """Which seconds count: `cpu_seconds`, or `seconds` of the clock."""
    shared: MeanOverSeeds
    """Seconds of the trainings that trials share."""
    total: MeanOverSeeds
    """Seconds in all."""
    reference_point: list[float]
    """The reference point, common to all searches that are compared."""
    at: list[VolumeAt]
    """Its hypervolume at each number of seconds."""


@dataclass(frozen=True)
class Steps:
    """The hypervolume of one search after each trial, as a function of the seconds that were spent."""

    seconds: np.ndarray
    """When each trial had ended, ascending. The first number is that of the trainings that trials share."""
    volumes: np.ndarray
    """The hypervolume from then on. The first one is 0."""

    def at(self, seconds_X: np.ndarray) -> np.ndarray:
        """The hypervolume after each number of seconds (X)."""
        places_X = np.searchsorted(self.seconds, seconds_X, side="right")
        return np.concatenate([[0.0], self.volumes])[places_X]


def growths(documents: Sequence[SearchDocument], at_s: Sequence[float] = ()) -> list[Growth]:
    """How searches grew: one row for each, with all its seeds, in the order given.

    `at_s` are the numbers of seconds to look at. By default they are spread evenly on a log axis.
    Raises: InputError if objectives differ, or a search does not know the seconds of its trials.
    """
    found = _grouped(documents)
    every = [steps for group in found.values() for steps in group.values()]
    asked = sorted(set(at_s)) or _spread(every)
    measure, reference_point = _measure(documents), common_reference(documents)
    return [
        Growth(
            name=name,
            searches=list(group),
            measure=measure,
            shared=MeanOverSeeds.of([steps.seconds[0] for steps in group.values()]),
            total=MeanOverSeeds.of([steps.seconds[-1] for steps in group.values()]),
            reference_point=reference_point,
            at=[_at(seconds, list(group.values())) for seconds in asked],
        )
        for name, group in found.items()
    ]


def growth_table(documents: Sequence[SearchDocument], at_s: Sequence[float] = (), width: int | None = None) -> str:
    """The growth as a table to read, at most `width` characters wide: means over seeds +- half of the 95 % interval."""
    rows = growths(documents, at_s)
    columns = [
        Column("search", [row.name for row in rows], left=True),
        Column("seeds", [str(len(row.searches)) for row in rows], spare=1),
        Column("shared s", [f"{row.shared.mean:,.0f}" for row in rows], spare=2),
        Column("all s", [f"{row.total.mean:,.0f}" for row in rows], spare=2),
    ]
    for place, first in enumerate(rows[0].at):
        columns.append(Column(f"{first.seconds:,g} s", [_cell(row.at[place]) for row in rows]))
    notes = [f"s: {MEASURES[rows[0].measure]}, with those of trainings that trials share"]
    if any(len(row.searches) > 1 for row in rows):
        notes.append("Means over seeds and 95 % intervals by Student's t")
    if any(one.ended for row in rows for one in row.at):
        notes.append("* a search had run all its trials before")
    reference = f"Hypervolume at ({reference_text(rows[0].reference_point, documents[0].objectives)})"
    return "\n".join([*fitted(columns, width), reference, *notes])


def draw_growth(documents: Sequence[SearchDocument], path: Path) -> None:
    """Writes a picture of 1440 x 900 pixels: the mean of each search over its seeds, and from the least to the most."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullLocator, StrMethodFormatter

    found, measure = _grouped(documents), _measure(documents)
    every = [steps for group in found.values() for steps in group.values()]
    figure = Figure(figsize=(9, 5.625), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, (name, group) in enumerate(found.items()):
        _draw_one(axes, name, list(group.values()), COLOURS[index % len(COLOURS)])
    low, high = _range(every)
    axes.set_xscale("log")
    axes.set_xlim(low / 1.1, high * 1.1)
    axes.set_ylim(bottom=0)
    axes.xaxis.set_major_locator(FixedLocator(round_ticks(low / 1.1, high * 1.1)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlabel(f"{MEASURES[measure].partition(',')[0]}, with those of trainings that trials share")
    point = reference_text(common_reference(documents), documents[0].objectives)
    axes.set_ylabel(f"hypervolume at ({point})")
    axes.grid(axis="both", color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.legend(loc="lower right", frameon=False, fontsize=9)
    figure.savefig(path, format="png")


def _draw_one(axes: Any, name: str, group: Sequence[Steps], colour: str) -> None:
    """One search: a line for the mean over its seeds, and a band from the least to the most of them."""
    ends_X = np.unique(np.concatenate([steps.seconds for steps in group]))
    volumes_NX = np.array([steps.at(ends_X) for steps in group])
    label = f"{name}, {len(group)} seeds" if len(group) > 1 else name
    axes.step(ends_X, volumes_NX.mean(0), where="post", color=colour, linewidth=1.6, label=label)
    if len(group) > 1:
        axes.fill_between(
            ends_X, volumes_NX.min(0), volumes_NX.max(0), step="post", color=colour, alpha=0.18, linewidth=0
        )


def _grouped(documents: Sequence[SearchDocument]) -> dict[str, dict[str, Steps]]:
    """The steps of each search by its name, in groups by the name without what tells seeds apart."""
    reference_point, measure = common_reference(documents), _measure(documents)
    found: dict[str, dict[str, Steps]] = {}
    for document in documents:
        group = found.setdefault(SEED.sub("", document.name), {})
        if document.name in group:
            raise InputError(f"{document.name}: two searches of this name; expected each once")
        group[document.name] = _steps(document, reference_point, measure)
    return found


def _steps(document: SearchDocument, reference_point: Sequence[float], measure: str) -> Steps:
    ended = [trial for trial in document.trials if trial.state != "running"]
    ended.sort(key=lambda trial: (trial.ended_s or 0.0, trial.number))  # as in the history of the hypervolume
    history = hypervolume_history(ended, document.objectives, reference_point)
    shared = sum(getattr(one, measure) for one in document.shared)
    # One that died before its first report, or has a number that is none, took nothing that is known.
    each = [seconds if isfinite(seconds := trial.metrics.get(f"cost/{measure}", 0.0)) else 0.0 for trial in ended]
    return Steps(np.cumsum([shared, *each]), np.array([0.0, *(one.hypervolume for one in history)]))


def _measure(documents: Sequence[SearchDocument]) -> str:
    """Which seconds all searches know, of all complete trials and of what these share."""
    for measure in (CPU, CLOCK):
        if not any(_lacking(document, measure) for document in documents):
            return measure
    faults = [fault for document in documents if (fault := _lacking(document, CLOCK))]
    raise InputError(f"{faults[0]}; expected a search that keeps them")


def _lacking(document: SearchDocument, measure: str) -> str:
    """The first of a search's trainings that does not know its seconds. Empty if all do."""
    for one in document.shared:
        if not isfinite(getattr(one, measure)):
            return f"{document.name}: {one.method}'s training: no seconds"
    for trial in document.trials:
        if trial.state == "complete" and not isfinite(trial.metrics.get(f"cost/{measure}", np.nan)):
            return f"{document.name}: trial {trial.number}: no cost/{measure}"
    return ""


def _at(seconds: float, group: Sequence[Steps]) -> VolumeAt:
    volumes = [float(steps.at(np.array([seconds]))[0]) for steps in group]
    ended = any(steps.seconds[-1] < seconds for steps in group)
    return VolumeAt(seconds=seconds, volume=MeanOverSeeds.of(volumes), ended=ended)


def _range(every: Sequence[Steps]) -> tuple[float, float]:
    """From when the first trial of any search had ended until when the last one had."""
    firsts = [seconds for steps in every for seconds in steps.seconds[1:2] if seconds > 0]
    last = max(steps.seconds[-1] for steps in every)
    return min(firsts, default=last or 1.0), last or 1.0


def _spread(every: Sequence[Steps]) -> list[float]:
    low, high = _range(every)
    return sorted({round_up(float(seconds)) for seconds in np.geomspace(low, high, BUDGETS)})


def _cell(one: VolumeAt) -> str:
    half = f" +- {volume_text(one.volume.half)}" if isfinite(one.volume.half) else ""
    return f"{volume_text(one.volume.mean)}{half}{' *' if one.ended else ''}"
