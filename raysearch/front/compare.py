"""Compares searches that have the same objectives: at one reference point and under the same budgets of cost."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from typing import Any, NamedTuple

import numpy as np

from raysearch.errors import InputError
from raysearch.front.difference import Difference, difference
from raysearch.front.document import SearchDocument
from raysearch.front.front import Front
from raysearch.front.objective import costs_of, errors_of, header, interval, unit, value
from raysearch.front.table import Column, decimals, fitted
from raysearch.front.trials import Measured, TrialRecord
from raysearch.settings import Outcome

BUDGETS = 3
"""Number of budgets under which searches are compared."""
ALIKE_NOTE = "~ cannot be told from the first search's"


class Budget(NamedTuple):
    """A limit on a cost, and the error that is to be least within it."""

    cost: str
    objective: str
    most: float


class BestWithinBudget(Outcome):
    """The front member with the lowest error among those whose cost is within a budget."""

    cost: str
    """The cost that is limited: one of the objectives."""
    objective: str
    """The error that is least: one of the objectives."""
    budget: float
    """The highest cost allowed, in the unit of the cost objective."""
    trial: int | None
    """Number of the trial. None if no front member is within the budget."""
    error: Measured
    """Error of the trial in percent."""
    low: Measured
    """Lower end of the error's 95 % interval."""
    high: Measured
    """Upper end of the error's 95 % interval."""
    change: Difference | None = None
    """The error minus that of the first search's best trial within this budget. None for the first search itself, and
    where one of the two has no trial."""


class ComparedSearch(Outcome):
    """One of the searches that are compared."""

    name: str
    """Name of the search."""
    trials: int
    """Number of trials, whatever their state."""
    front_size: int
    """Number of members of the search's own front."""
    joint_front_size: int
    """Number of those members that are also on the joint front, over the trials of all searches together."""
    hypervolume: float
    """Hypervolume of the search at `reference_point`."""
    reference_point: list[float]
    """The common reference point: in each objective the largest of the searches' own."""
    hours: float
    """Hours spent on trials, from `cost/seconds`, and on what they share; 0 where that was not recorded."""
    best: list[BestWithinBudget]
    """The best trial under each budget, for each pair of a cost and an error that are objectives. The budgets are the
    same for all searches."""


def compare_searches(documents: Sequence[SearchDocument]) -> list[ComparedSearch]:
    """Compares searches: one row for each, in the order given.

    Raises: InputError if their objectives differ: volumes in different units do not compare.
    """
    objectives, reference_point = documents[0].objectives, common_reference(documents)
    # Trials of two searches may have the same number, so members are told apart by identity.
    joint = {id(m) for m in Front.of([m for d in documents for m in d.members()], objectives).members}
    budgets = _budgets(documents)
    firsts = [_best_member(documents[0], budget) for budget in budgets]
    return [
        ComparedSearch(
            name=document.name,
            trials=len(document.trials),
            front_size=len(document.front),
            joint_front_size=sum(id(member) in joint for member in document.members()),
            hypervolume=Front.of(document.trials, objectives).hypervolume(reference_point),
            reference_point=reference_point,
            hours=_hours(document),
            best=[
                _best_within(document, budget, None if document is documents[0] else first)
                for budget, first in zip(budgets, firsts, strict=True)
            ],
        )
        for document in documents
    ]


def _hours(document: SearchDocument) -> float:
    of_trials = (trial.metrics.get("cost/seconds", 0.0) for trial in document.trials)
    return sum(filter(isfinite, (*of_trials, *(one.seconds for one in document.shared)))) / 3600


def compare_table(documents: Sequence[SearchDocument], width: int | None = None) -> str:
    """The comparison as a table to read, with one line for each search, at most `width` characters wide."""
    rows = compare_searches(documents)
    columns = [
        Column("search", [row.name for row in rows], left=True),
        Column("trials", [str(row.trials) for row in rows]),
        Column("front", [str(row.front_size) for row in rows]),
        Column("on joint front", [str(row.joint_front_size) for row in rows], spare=15),
        Column("hypervolume", [volume_text(row.hypervolume) for row in rows]),
    ]
    if any(row.hours for row in rows):
        per_hour = [volume_text(row.hypervolume / row.hours) if row.hours else "-" for row in rows]
        columns.append(Column("hours", [f"{row.hours:.2f}" for row in rows], spare=20))
        columns.append(Column("volume an hour", per_hour, spare=20))
    for index, best in enumerate(rows[0].best):
        title = f"{header(best.objective)} <= {best.budget:g} {unit(best.cost)}"
        # The first budgets are the smallest, and the last one shows the best of all.
        spare = len(rows[0].best) - 1 - index
        columns.append(Column(title, [_best_text(row.best[index]) for row in rows], spare=spare))
    reference = reference_text(rows[0].reference_point, documents[0].objectives)
    notes = [ALIKE_NOTE] if any("~" in cell for column in columns for cell in column.cells) else []
    return "\n".join([*fitted(columns, width), f"Hypervolume at ({reference})", *notes])


def common_reference(documents: Sequence[SearchDocument]) -> list[float]:
    """The reference point at which all searches are compared: in each objective the largest of their own.

    Raises: InputError if their objectives differ: volumes in different units do not compare.
    """
    objectives = documents[0].objectives
    for document in documents:
        if document.objectives != objectives:
            raise InputError(
                f"{document.name}: objectives: {document.objectives}; expected {objectives} as in {documents[0].name}"
            )
    found: list[float] = np.max([document.reference_point for document in documents], axis=0).tolist()
    return found


def reference_text(reference_point: Sequence[float], objectives: Sequence[str]) -> str:
    """A reference point in words, such as `400 GMAC, 100 % WER`."""
    point = zip(reference_point, objectives, strict=True)
    return ", ".join(f"{bound:g} {unit(objective)}" for bound, objective in point)


def volume_text(volume: float) -> str:
    """A hypervolume in four digits, or all of those before the point, in groups of three."""
    return f"{volume:,.0f}" if volume >= 1000 else f"{volume:.4g}"


def _budgets(documents: Sequence[SearchDocument]) -> list[Budget]:
    """Round costs, spread evenly on a log axis from the cheapest to the dearest front member of all searches."""
    objectives = documents[0].objectives
    members = [member for document in documents for member in document.members()]
    if not members:
        return []
    found = []
    for cost in costs_of(objectives):
        costs = [value(member, cost) for member in members]
        # The first number is left out: it is the cost of the cheapest member, which alone would be within it.
        spread = np.geomspace(min(costs), max(costs), BUDGETS + 1)[1:]
        bounds = sorted({round_up(budget) for budget in spread})
        found += [Budget(cost, error, bound) for error in errors_of(objectives) for bound in bounds]
    return found


def round_up(number: float) -> float:
    """Rounds up to two digits. The member whose cost the number was stays within the rounded budget."""
    unit_of_two = 10.0 ** (np.floor(np.log10(number)) - 1)
    # Without the small subtraction, a number that has two digits already could be raised by an error of rounding.
    return float(f"{np.ceil(number / unit_of_two - 1e-9) * unit_of_two:.6g}")


def _best_member(document: SearchDocument, budget: Budget) -> TrialRecord | None:
    within = [member for member in document.members() if value(member, budget.cost) <= budget.most]
    return min(within, key=lambda member: value(member, budget.objective), default=None)


def _best_within(document: SearchDocument, budget: Budget, first: TrialRecord | None) -> BestWithinBudget:
    """The best trial within a budget, compared with the `first` search's best one."""
    limit: dict[str, Any] = {"cost": budget.cost, "objective": budget.objective, "budget": budget.most}
    best = _best_member(document, budget)
    if best is None:
        return BestWithinBudget(**limit, trial=None, error=nan, low=nan, high=nan)
    low, high = interval(best, budget.objective)
    change = difference(best, first, budget.objective) if first else None
    found = value(best, budget.objective)
    return BestWithinBudget(**limit, trial=best.number, error=found, low=low, high=high, change=change)


def _best_text(best: BestWithinBudget) -> str:
    if best.trial is None:
        return "-"
    places = decimals([best.error], digits=3)
    alike = " ~" if best.change and not best.change.clear else ""
    return f"{best.error:.{places}f} ({best.low:.{places}f} - {best.high:.{places}f}){alike}"
