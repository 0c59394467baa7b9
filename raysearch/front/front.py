"""The front of a search: its non-dominated trials, what they dominate, and which of their differences are noise.

All objectives are minimised. One trial dominates another if it is no worse in any objective and better in at least one.
Only complete trials take part, and only those whose objectives were all measured.
Shapes: P, Q points, M objectives, E objectives that are errors, C those that are costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import moocore
import numpy as np

from raysearch.front.difference import Differences, Rule
from raysearch.front.objective import COSTS, axes, costs_of, errors_of, interval, value
from raysearch.settings import Outcome

if TYPE_CHECKING:
    from raysearch.front.trials import TrialRecord


class Mark(str, Enum):
    """How a complete trial stands to the front once it is looked at which differences are noise."""

    FRONT = "front"
    FRONT_WITHIN_NOISE = "front, within noise of a cheaper trial"
    WITHIN_NOISE = "within noise"
    FIRMLY_DOMINATED = "firmly dominated"


class Marked(Outcome):
    """The mark of a complete trial, and the rule that decided it."""

    mark: Mark
    """How the trial stands to the front."""
    by: Rule | None
    """By what it was told from others: `pairs` if all that decided were on the same cuts, else `intervals`. Null if
    there was nothing to tell it from, as of the cheapest trial."""

    @property
    def text(self) -> str:
        """The mark in words. Intervals go without saying, since readers see them."""
        return self.mark.value + (", by pairs" if self.by == "pairs" else "")


class Progress(NamedTuple):
    """How far a search was when some of its trials had ended."""

    ended: int
    """Number of trials that had ended."""
    hypervolume: float
    """Hypervolume of their front, linear in cost and error."""
    front_size: int
    """Number of members of their front."""


@dataclass(frozen=True)
class Front:
    """The front of some trials, and the trials that it dominates."""

    objectives: tuple[str, ...]
    """Names of the objectives."""
    members: tuple[TrialRecord, ...]
    """The non-dominated trials, sorted by MACs. Trials with equal values are all members."""
    dominated: tuple[TrialRecord, ...]
    """The other complete trials, sorted by number."""

    @classmethod
    def of(cls, records: Sequence[TrialRecord], objectives: Sequence[str]) -> Front:
        """The front of these trials, of which those that are not complete are left out."""
        judged = sorted((r for r in records if is_judged(r, objectives)), key=lambda record: record.number)
        # Weakly: trials that are equal in every objective are all kept, since neither is better.
        kept_P = moocore.is_nondominated(_points(judged, objectives), keep_weakly=True)
        members = [record for record, kept in zip(judged, kept_P, strict=True) if kept]
        members.sort(key=lambda record: (record.cost.macs_g, *_values(record, objectives), record.number))
        dominated = [record for record, kept in zip(judged, kept_P, strict=True) if not kept]
        return cls(tuple(objectives), tuple(members), tuple(dominated))

    def hypervolume(self, reference_point: Sequence[float]) -> float:
        """The linear volume between the front and the reference point, in the product of the objectives' units.

        A member beyond the reference point in any objective adds nothing.
        """
        return linear_hypervolume(_points(self.members, self.objectives), reference_point)

    def knee(self) -> TrialRecord | None:
        """The member farthest below the chord from the cheapest to the dearest member.

        More MACs than the knee's buy less than before. The distance is measured on (log cost, error), both scaled so
        that the front's ends are 0 and 1. If no member lies below the chord, the knee is the cheapest member; if the
        front is empty, there is none.

        With three objectives a plane takes the chord's place, the one on which the three scaled numbers have a constant
        sum: the knee is the member with the least sum, of equal ones the cheapest.
        Source: Das, On characterizing the knee of the Pareto curve, Structural Optimization 1999.
        """
        if not self.members:
            return None
        points_PM = _points(self.members, self.objectives)
        logarithmic_M = [name in COSTS for name in self.objectives]
        points_PM[:, logarithmic_M] = np.log(points_PM[:, logarithmic_M])
        # In two objectives the chord runs from (0, 1) to (1, 0), so the distance below it grows as x + y falls.
        depth_P = -np.sum([_scaled(values_P) for values_P in points_PM.T], axis=0)
        return self.members[int(np.argmax(depth_P))]

    def marks(self) -> dict[int, Marked]:
        """The mark of each complete trial, by number.

        A dominated trial is firmly dominated if some trial that costs no more is clearly better than it in every error.
        Else it is within noise. Members of the front are looked at from the cheapest to the dearest. A member is within
        noise if it cannot be told, in any error, from a cheaper member which is not within noise itself: so many small
        steps, each within noise of the one before, are unmarked where they add up to a clear gain. Of two costs neither
        may be higher in the cheaper member.
        `difference` says when two trials can be told apart. Its 95 % are those of one pair of trials, not of all.
        """
        told = [Differences((*self.members, *self.dominated), error) for error in errors_of(self.objectives)]
        return self._marks_of_dominated(told) | self._marks_of_members(told)

    def _marks_of_dominated(self, told: Sequence[Differences]) -> dict[int, Marked]:
        cost_CP = _points(self.dominated, costs_of(self.objectives)).T
        firm_P, paired_P = np.zeros(len(self.dominated), bool), np.ones(len(self.dominated), bool)
        for judge in self._judges():
            cost_C1 = _points([judge], costs_of(self.objectives)).T
            asked = np.flatnonzero(~firm_P & (cost_C1 <= cost_CP).all(axis=0))
            if not len(asked):
                continue
            found = [one.ends(judge, [self.dominated[at] for at in asked]) for one in told]
            firm_P[asked] = np.all([one.high_P < 0 for one in found], axis=0)
            paired = np.all([one.paired_P for one in found], axis=0)
            # What is firm was decided by this judge alone, what is not by all of them.
            paired_P[asked] = paired & (firm_P[asked] | paired_P[asked])
        marks = {True: Mark.FIRMLY_DOMINATED, False: Mark.WITHIN_NOISE}
        return {
            record.number: Marked(mark=marks[bool(firm)], by=_rule(paired) if told else None)
            for record, firm, paired in zip(self.dominated, firm_P, paired_P, strict=True)
        }

    def _judges(self) -> list[TrialRecord]:
        """The trials that dominated ones are compared with, the one with the lowest error first.

        They are the front's members. By intervals, whoever has the lowest costs and upper ends dominates all that any
        other trial does, which may be a dominated trial whose interval is narrow.
        """
        others = (*self.members, *self.dominated)
        costs_QC, (_, high_EQ) = _points(others, costs_of(self.objectives)), _bounds(others, errors_of(self.objectives))
        narrow_Q = moocore.is_nondominated(np.hstack([costs_QC, high_EQ.T])) if others else np.zeros(0, bool)
        kept = [
            one
            for at, (one, narrow) in enumerate(zip(others, narrow_Q, strict=True))
            if narrow or at < len(self.members)
        ]
        return sorted(kept, key=lambda record: value(record, axes(self.objectives)[1]))

    def _marks_of_members(self, told: Sequence[Differences]) -> dict[int, Marked]:
        costs = costs_of(self.objectives)
        marks: dict[int, Marked] = {}
        clear: list[TrialRecord] = []
        for member in sorted(self.members, key=lambda record: _values(record, costs)):
            # Of two costs, a member may be dearer than another in one only: then it is on the front by right.
            cheaper = [one for one in clear if _no_dearer(one, member, costs)]
            found = [one.ends(member, cheaper) for one in told] if cheaper else []
            # Costs are known exactly, and do not matter here: the two may be equal in every error.
            alike_Q = np.all([(one.low_P <= 0) & (one.high_P >= 0) for one in found], axis=0) & bool(found)
            paired_Q = np.all([one.paired_P for one in found], axis=0)
            noisy = bool(alike_Q.any())
            rule = _rule(paired_Q[alike_Q] if noisy else paired_Q) if found else None
            marks[member.number] = Marked(mark=Mark.FRONT_WITHIN_NOISE if noisy else Mark.FRONT, by=rule)
            if not noisy:
                clear.append(member)
        return marks


def hypervolume_history(
    records: Sequence[TrialRecord], objectives: Sequence[str], reference_point: Sequence[float]
) -> list[Progress]:
    """How far the search was after each trial that ended, in the order in which they ended.

    Trials whose end was not recorded come first, sorted by number.
    """
    ended = [record for record in records if record.state != "running"]
    ended.sort(key=lambda record: (record.ended_s or 0.0, record.number))
    history: list[Progress] = []
    points_PM = np.empty((0, len(objectives)))
    for count, record in enumerate(ended, start=1):
        if is_judged(record, objectives):
            points_PM = np.vstack([points_PM, _values(record, objectives)])
            points_PM = points_PM[moocore.is_nondominated(points_PM, keep_weakly=True)]
        history.append(Progress(count, linear_hypervolume(points_PM, reference_point), len(points_PM)))
    return history


def linear_hypervolume(points_PM: np.ndarray, reference_point: Sequence[float]) -> float:
    """The volume between the points and the reference point, in GMAC (or millions of parameters) times percent.

    This is what users read of their search. Simulations compare samplers by `ln_cost_hypervolume` instead.
    """
    return float(moocore.hypervolume(points_PM, ref=list(reference_point)))


def is_judged(record: TrialRecord, objectives: Sequence[str]) -> bool:
    """Whether a trial can be compared: complete, no repeat, with objectives that are numbers and costs above 0."""
    return (
        record.state == "complete"
        and record.repeats is None
        and all(
            isfinite(number) and (number > 0 or name not in COSTS)
            for name, number in zip(objectives, _values(record, objectives), strict=True)
        )
    )


def _values(record: TrialRecord, objectives: Sequence[str]) -> tuple[float, ...]:
    return tuple(value(record, name) for name in objectives)


def _no_dearer(one: TrialRecord, other: TrialRecord, costs: Sequence[str]) -> bool:
    return all(value(one, cost) <= value(other, cost) for cost in costs)


def _points(records: Sequence[TrialRecord], objectives: Sequence[str]) -> np.ndarray:
    return np.array([_values(record, objectives) for record in records], dtype=float).reshape(
        len(records), len(objectives)
    )


def _bounds(records: Sequence[TrialRecord], errors: Sequence[str]) -> np.ndarray:
    """Lower and upper ends of the intervals, of shape (2, E, P)."""
    ends = [[interval(record, name) for record in records] for name in errors]
    return np.moveaxis(np.array(ends, dtype=float).reshape(len(errors), len(records), 2), 2, 0)


def _rule(paired: np.ndarray) -> Rule:
    """The rule of comparisons of which these are by pairs."""
    return "pairs" if np.all(paired) else "intervals"


def _scaled(values_P: np.ndarray) -> np.ndarray:
    """The values, scaled so that the smallest is 0 and the largest 1; all 0 if they are equal."""
    span = np.ptp(values_P)
    return (values_P - values_P.min()) / span if span else np.zeros_like(values_P)
