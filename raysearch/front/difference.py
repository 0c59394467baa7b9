"""Whether two trials can be told apart in an error: the one function that all marks, picks and comparisons ask.

Trials that were judged on the same cuts are compared by pairs: in each resample both have the same cuts, and what is
hard for both cancels. Where one of them has not kept its errors cut by cut, or other cuts, two intervals must do.
Shapes: P, Q trials, R resamples.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from raysearch.evidence.kept import LEAST, CutBasis, Judged, PairBasis, resampled_together
from raysearch.evidence.resampling import Floats, ends
from raysearch.front.objective import interval, value
from raysearch.front.trials import Measured, TrialRecord
from raysearch.settings import Outcome

Rule = Literal["pairs", "intervals"]
"""How two trials were told apart: by pairs, from the same cuts, or by whether their intervals overlap."""


class Difference(Outcome):
    """The error of one trial minus that of another, on dev and in percentage points."""

    value: Measured
    low: Measured
    """Lower end of its 95 % interval. By intervals: the least that it is if each error lies within its own."""
    high: Measured
    """Upper end, likewise."""
    by: Rule
    """What the ends rest on."""

    @property
    def clear(self) -> bool:
        """Whether the two can be told apart: 0 lies outside the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Ends:
    """Ends of the intervals of the differences of one trial from P others, and which of these are by pairs."""

    low_P: Floats
    high_P: Floats
    paired_P: NDArray[np.bool_]


class Differences:
    """Differences between trials in one error."""

    def __init__(self, trials: Sequence[TrialRecord], error: str) -> None:
        self._trials, self._error = trials, error
        # Trials of two searches may have the same number, so they are told apart by identity.
        self._place = {id(trial): place for place, trial in enumerate(trials)}
        self._low_P, self._high_P = np.array([interval(trial, error) for trial in trials], float).reshape(-1, 2).T
        self._basis_P, self._columns = _resampled([_judged(trial, error) for trial in trials])

    def ends(self, one: TrialRecord, others: Sequence[TrialRecord]) -> Ends:
        """How the error of a trial differs from that of each of the others."""
        place, places_P = self._place[id(one)], np.array([self._place[id(other)] for other in others], int)
        # By intervals: the least and the most that the difference may be. So it is clear if the two do not overlap.
        low_P, high_P = self._low_P[place] - self._high_P[places_P], self._high_P[place] - self._low_P[places_P]
        paired_P = (self._basis_P[places_P] == self._basis_P[place]) & (self._basis_P[place] >= 0)
        if paired_P.any():
            resampled_RQ, column_P = self._columns[self._basis_P[place]]
            own_R1 = resampled_RQ[:, [column_P[place]]]
            others_RQ = resampled_RQ[:, [column_P[at] for at in places_P[paired_P]]]
            low_P[paired_P], high_P[paired_P] = ends(own_R1 - others_RQ)
        return Ends(low_P, high_P, paired_P)

    def between(self, one: TrialRecord, other: TrialRecord) -> Difference:
        """The error of the first trial minus that of the second."""
        found = self.ends(one, [other])
        return Difference(
            value=value(one, self._error) - value(other, self._error),
            low=float(found.low_P[0]),
            high=float(found.high_P[0]),
            by="pairs" if found.paired_P[0] else "intervals",
        )


def difference(one: TrialRecord, other: TrialRecord, error: str) -> Difference:
    """The error of the first trial minus that of the second. They may be of two searches."""
    return Differences([one, other], error).between(one, other)


def _judged(trial: TrialRecord, error: str) -> Judged | None:
    found = trial.evidence.get(f"eval/{error}")
    return found if found is not None and found.basis.units >= LEAST else None


def _resampled(
    judged: Sequence[Judged | None],
) -> tuple[NDArray[np.intp], list[tuple[Floats, dict[int, int]]]]:
    """Number of the basis of each trial, -1 if it has none, and of each basis the errors (R, Q) of its trials.

    Beside these stands in which column each trial is, by its place.
    """
    groups: dict[CutBasis | PairBasis, list[int]] = defaultdict(list)
    for place, one in enumerate(judged):
        if one is not None:
            groups[one.basis].append(place)
    basis_P = np.full(len(judged), -1)
    columns: list[tuple[Floats, dict[int, int]]] = []
    for basis, places in groups.items():
        if len(places) < 2:
            continue  # nobody to compare it with
        errors_RQ = resampled_together(basis, tuple(one.found for place in places if (one := judged[place])))
        # Of few speakers a resample may lack one kind of pair. If all do, nothing is known.
        if len(errors_RQ):
            basis_P[places] = len(columns)
            columns.append((errors_RQ, {place: column for column, place in enumerate(places)}))
    return basis_P, columns
