"""Simulates a search on a table of known trials: with the real searcher, on simulated workers and a simulated clock."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import moocore
import numpy as np
from optuna.storages import InMemoryStorage

from raysearch.front.objective import errors_of
from raysearch.lanes.source import Suggestion
from raysearch.search.memory.memory import Memory
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.search.timing.deadlines import Deadlines
from raysearch.simulation.recorded import Row, Table
from raysearch.spec.budget import ENDLESS
from raysearch.spec.document import Spec
from raysearch.spec.space import Config

OVER_TIME = -1
"""Stands in the place of a trial's stage, where the trial has taken all the time that it may."""


@dataclass(frozen=True)
class Ended:
    """A trial of a simulated search, after its end."""

    time_s: float
    """Seconds on the simulated clock at which it ended."""
    seconds: float
    """Seconds that a worker spent on it."""
    state: str
    """`complete`, `stopped` or `failed`."""
    config: Config
    macs_g: float
    error: float
    """Error at the end of the budget, without noise where the table knows that. NaN unless complete."""


class Driver(Protocol):
    """What a simulation asks for trials and tells of results: our searcher, or one that it is compared with."""

    def suggest(self) -> Suggestion | None: ...
    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool: ...
    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None: ...
    def fail(self, number: int, cause: str, error: str) -> None: ...


class Clock:
    """A simulated clock, which a simulation puts forward."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def searcher_on(
    table: Table,
    sampler: str,
    scheduler: str,
    workers: int,
    seed: int,
    trials: int = ENDLESS,
    *,
    deadlines: Callable[[Spec], Deadlines] | None = None,
    memory: Memory | None = None,
    **more: Any,
) -> Searcher:
    """The real searcher, on a study that is kept in memory.

    `more` are other settings of the group `search`. `deadlines` makes those of the search from its document.
    `memory` is what past searches say of the space.
    """
    search = table.spec.search.model_copy(
        update={"sampler": sampler, "scheduler": scheduler, "seed": seed, "trials": trials, **more}
    )
    spec = table.spec.model_copy(update={"search": search}).with_lanes(workers)
    study = Study.create(InMemoryStorage(), spec.name, spec.objectives, {})
    found = deadlines(spec) if deadlines else None
    return Searcher(
        spec, study, table.teacher, trials=trials, say=_mute, costs=table.costs, deadlines=found, memory=memory
    )


def simulate(
    table: Table,
    driver: Driver,
    *,
    workers: int,
    seed: int,
    budget_s: float = math.inf,
    clock: Clock | None = None,
) -> list[Ended]:
    """Every trial that ended before the workers together had spent the budget, in order of time.

    `seed` draws the noise of the table. `clock` is put forward, for a driver that reads it.
    """
    clock = clock or Clock()
    (error,) = errors_of(table.spec.objectives)
    until_s = budget_s / workers  # all workers are taken to be busy until then
    ended: list[Ended] = []
    # One entry for each busy worker: (time, order, began, suggestion, row, next point). The order makes entries of the
    # same time comparable, and keeps them in the order in which they came.
    agenda: list[tuple[float, int, float, Suggestion, Row, int]] = []
    order = 0

    def start(now_s: float) -> None:
        nonlocal order
        suggestion = driver.suggest()
        if suggestion is not None:
            row = table.row(suggestion.config, seed)
            order += 1
            heapq.heappush(agenda, _next(suggestion, row, 0, order, now_s))

    for _ in range(workers):
        start(0.0)
    while agenda and agenda[0][0] <= until_s:
        now_s, _, began_s, suggestion, row, stage = heapq.heappop(agenda)
        clock.now_s = now_s
        state = _tell(driver, table, error, suggestion, row, stage)
        if state == "running":
            order += 1
            heapq.heappush(agenda, _next(suggestion, row, stage + 1, order, began_s))
            continue
        final = math.nan
        if state == "complete":
            # What is complete at rung 0 was never trained.
            final = row.truth if row.points[stage].share else row.points[stage].error
        macs_g = table.costs(suggestion.config).macs_g
        ended.append(Ended(now_s, now_s - began_s, state, suggestion.config, macs_g, final))
        start(now_s)
    return ended


def _next(
    suggestion: Suggestion, row: Row, stage: int, order: int, began_s: float
) -> tuple[float, int, float, Suggestion, Row, int]:
    """The entry of the agenda for the end of a trial's stage, or before that for the end of the time that it has."""
    lasts_s, limit_s = _end_of_stage(row, stage), suggestion.limit_s
    if limit_s is not None and limit_s < lasts_s:
        return began_s + limit_s, order, began_s, suggestion, row, OVER_TIME
    return began_s + lasts_s, order, began_s, suggestion, row, stage


def _end_of_stage(row: Row, stage: int) -> float:
    if stage < len(row.points):
        return row.points[stage].seconds
    assert row.diverged_s is not None
    return row.diverged_s


def _tell(driver: Driver, table: Table, error: str, suggestion: Suggestion, row: Row, stage: int) -> str:
    if stage == OVER_TIME:
        driver.fail(suggestion.number, "timeout", "its time was over")
        return "failed"
    if stage >= len(row.points):
        driver.fail(suggestion.number, "nan", "diverged")
        return "failed"
    point = row.points[stage]
    metrics = {f"eval/{error}": point.error, "cost/seconds": point.seconds}
    updates = max(1, round(point.share * table.spec.updates(str(suggestion.config["method"])))) if point.share else 0
    if stage == len(row.points) - 1 and row.diverged_s is None:
        driver.complete(suggestion.number, updates, metrics)
        return "complete"
    if driver.observe(suggestion.number, updates, metrics):
        return "running"
    return "stopped" if updates else "complete"


def front_of(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """The points of cost and error that no other dominates, by cost."""
    found = sorted(points)
    # An empty list must have two columns, too.
    kept = moocore.is_nondominated(np.array(found, dtype=float).reshape(-1, 2))
    return [point for point, keep in zip(found, kept, strict=True) if keep]


def ln_cost_hypervolume(points: Iterable[tuple[float, float]], reference_point: Sequence[float]) -> float:
    """The area between the points and the reference point, both of cost and error, in ln cost times percent.

    In it, halving a small cost is worth as much as halving a large one. What users read of their search is the linear
    hypervolume, where the dearest trials weigh most: `Front.hypervolume`.
    """
    limit, worst = reference_point
    seen = [(math.log(cost), error) for cost, error in points if cost < limit and error < worst]
    if not seen:
        return 0.0
    return float(moocore.hypervolume(np.array(seen), ref=[math.log(limit), worst]))


def history(ended: Sequence[Ended], workers: int, reference_point: Sequence[float]) -> list[tuple[float, float]]:
    """Pairs of (worker-seconds spent, ln-cost hypervolume), one after each complete trial."""
    front: list[tuple[float, float]] = []
    steps = []
    for trial in ended:
        if trial.state == "complete":
            front = front_of([*front, (trial.macs_g, trial.error)])
            steps.append((trial.time_s * workers, ln_cost_hypervolume(front, reference_point)))
    return steps


def time_to(steps: Sequence[tuple[float, float]], wanted: float) -> float:
    """Worker-seconds until an ln-cost hypervolume was reached, or infinity if it was not."""
    return next((spent_s for spent_s, volume in steps if volume >= wanted), math.inf)


def _mute(line: str) -> None:
    return
