"""The one document of a search: what `search --json` and `front --json` print and what tables, plots, MLflow show."""

from __future__ import annotations

from collections.abc import Sequence

from raysearch.front.front import Front
from raysearch.front.objective import Objective
from raysearch.front.trials import TeacherPoint, TrialRecord
from raysearch.settings import Settings


class SearchDocument(Settings):
    """A search and its front."""

    name: str
    """The search's name."""
    objectives: list[Objective]
    """All are minimised."""
    trials: list[TrialRecord]
    """By number."""
    front: list[int]
    """Numbers of the non-dominated trials, by MACs."""
    hypervolume: float
    """What the front dominates up to `reference_point`."""
    reference_point: list[float]
    """One number an objective; trials beyond it count nothing."""
    teacher: TeacherPoint | None = None
    """Known when its errors were measured."""

    def members(self) -> list[TrialRecord]:
        """The front's trials, by MACs."""
        by_number = {trial.number: trial for trial in self.trials}
        return [by_number[number] for number in self.front]


def document(
    name: str,
    objectives: Sequence[str],
    trials: Sequence[TrialRecord],
    reference_point: Sequence[float],
    teacher: TeacherPoint | None = None,
) -> SearchDocument:
    """The document of a search, with the front and the hypervolume of its complete trials."""
    front = Front.of(trials, objectives)
    return SearchDocument(
        name=name,
        objectives=list(objectives),
        trials=sorted(trials, key=lambda trial: trial.number),
        front=[member.number for member in front.members],
        hypervolume=front.hypervolume(reference_point),
        reference_point=list(reference_point),
        teacher=teacher,
    )
