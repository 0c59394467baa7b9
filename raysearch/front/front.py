"""The front of a search: its non-dominated trials, what they dominate, and which of their differences are noise.

All objectives are minimised. One trial dominates another if it is no worse in any objective and better in at least one.
Only complete trials take part, and only those whose objectives were all measured.
Shapes: P, Q points, M objectives, E objectives that are errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from math import isfinite
from typing import TYPE_CHECKING, NamedTuple

import moocore
import numpy as np

from raysearch.front.objective import COSTS, axes, interval, value

if TYPE_CHECKING:
    from raysearch.front.trials import TrialRecord


class Mark(str, Enum):
    """How a complete trial stands to the front once the intervals of the errors are looked at."""

    FRONT = "front"
    FRONT_WITHIN_NOISE = "front, within noise of a cheaper trial"
    WITHIN_NOISE = "within noise"
    FIRMLY_DOMINATED = "firmly dominated"


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
        Source: Das, On characterizing the knee of the Pareto curve, Structural Optimization 1999.
        """
        if not self.members:
            return None
        cost, error = axes(self.objectives)
        flat = Front.of(self.members, (cost, error)).members
        x_P = np.log([value(member, cost) for member in flat])
        y_P = np.array([value(member, error) for member in flat])
        # The chord runs from (0, 1) to (1, 0), so the distance below it grows as x + y falls.
        depth_P = -_scaled(x_P) - _scaled(y_P)
        return flat[int(np.argmax(depth_P))]

    def marks(self) -> dict[int, Mark]:
        """The mark of each complete trial, by number.

        A dominated trial is firmly dominated if some trial that costs no more has an interval wholly below its own.
        Else it is within noise. Members of the front are looked at from the cheapest to the dearest. A member is within
        noise if its interval overlaps that of a cheaper member which is not within noise itself: so many small steps,
        each within noise of the one before, are unmarked where they add up to a clear gain.
        Overlap of two 95 % intervals is a cautious test: the differences that it calls clear are clear.
        """
        return self._marks_of_dominated() | self._marks_of_members()

    def _marks_of_dominated(self) -> dict[int, Mark]:
        errors, costs = self._errors(), [name for name in self.objectives if name in COSTS]
        others = (*self.members, *self.dominated)
        (low_EQ, high_EQ), cost_CQ = _bounds(others, errors), _points(others, costs).T
        low_EP, cost_CP = low_EQ[:, len(self.members) :], cost_CQ[:, len(self.members) :]
        # Whoever has the lowest costs and upper ends dominates all that any other trial does: these few are enough. An
        # error is no worse, and better, than one whose whole interval lies above it.
        judges_Q = moocore.is_nondominated(np.vstack([cost_CQ, high_EQ]).T) if others else np.zeros(0, bool)
        firm_P = np.ones(len(self.dominated), bool)
        if len(firm_P):
            firm_PQ = np.ones((len(firm_P), int(judges_Q.sum())), bool)
            for low_P, high_Q in zip(low_EP, high_EQ, strict=True):
                firm_PQ &= high_Q[judges_Q] < low_P[:, None]
            for cost_P, cost_Q in zip(cost_CP, cost_CQ, strict=True):
                firm_PQ &= cost_Q[judges_Q] <= cost_P[:, None]
            firm_P = np.asarray(firm_PQ.any(axis=1))
        return {
            record.number: Mark.FIRMLY_DOMINATED if firm else Mark.WITHIN_NOISE
            for record, firm in zip(self.dominated, firm_P, strict=True)
        }

    def _marks_of_members(self) -> dict[int, Mark]:
        cost, _ = axes(self.objectives)
        marks: dict[int, Mark] = {}
        clear: list[TrialRecord] = []
        for member in sorted(self.members, key=lambda record: value(record, cost)):
            noisy = any(self._overlap(cheaper, member) for cheaper in clear)
            marks[member.number] = Mark.FRONT_WITHIN_NOISE if noisy else Mark.FRONT
            if not noisy:
                clear.append(member)
        return marks

    def _overlap(self, cheaper: TrialRecord, dearer: TrialRecord) -> bool:
        """Whether the two may be equal in every error. Costs are known exactly, and do not matter here."""
        pairs = [(interval(cheaper, name), interval(dearer, name)) for name in self._errors()]
        return bool(pairs) and all(a[0] <= b[1] and b[0] <= a[1] for a, b in pairs)

    def _errors(self) -> list[str]:
        return [name for name in self.objectives if name not in COSTS]


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
    """Whether a trial can be compared: it is complete, every objective is a number, and no cost is zero or less."""
    return record.state == "complete" and all(
        isfinite(number) and (number > 0 or name not in COSTS)
        for name, number in zip(objectives, _values(record, objectives), strict=True)
    )


def _values(record: TrialRecord, objectives: Sequence[str]) -> tuple[float, ...]:
    return tuple(value(record, name) for name in objectives)


def _points(records: Sequence[TrialRecord], objectives: Sequence[str]) -> np.ndarray:
    return np.array([_values(record, objectives) for record in records], dtype=float).reshape(-1, len(objectives))


def _bounds(records: Sequence[TrialRecord], errors: Sequence[str]) -> np.ndarray:
    """Lower and upper ends of the intervals, of shape (2, E, P)."""
    ends = [[interval(record, name) for record in records] for name in errors]
    return np.moveaxis(np.array(ends, dtype=float).reshape(len(errors), len(records), 2), 2, 0)


def _scaled(values_P: np.ndarray) -> np.ndarray:
    """The values, scaled so that the smallest is 0 and the largest 1; all 0 if they are equal."""
    span = np.ptp(values_P)
    return (values_P - values_P.min()) / span if span else np.zeros_like(values_P)
