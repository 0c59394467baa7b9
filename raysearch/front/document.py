"""The outcome of a search as one document: its trials, its front and its hypervolume.

`search --json` and `front --json` print it; tables, plots and MLflow show what it holds. It is not the search document
of the room `spec`, the YAML file that asks for a search.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field, FiniteFloat, field_validator, model_validator

from raysearch.front.front import Front, Marked, is_judged
from raysearch.front.objective import Objective
from raysearch.front.trials import SharedTraining, TeacherPoint, TrialRecord
from raysearch.settings import Outcome


class SearchDocument(Outcome):
    """The outcome of a search, or of what has been run of it so far."""

    name: str
    """Name of the search."""
    objectives: list[Objective] = Field(min_length=1)
    """Names of the objectives; all are minimised."""
    trials: list[TrialRecord]
    """All trials, sorted by number."""
    front: list[int]
    """Numbers of the non-dominated trials, sorted by MACs."""
    hypervolume: FiniteFloat
    """The volume that the front dominates up to `reference_point`, in the product of the objectives' units."""
    reference_point: list[FiniteFloat]
    """One number for each objective. A trial beyond it in any objective adds nothing to the hypervolume."""
    teacher: TeacherPoint | None = None
    """The teacher's cost and errors; None if its errors were not measured."""
    shared: list[SharedTraining] = []
    """Trainings that were done once for all trials of a method. Seconds of trials do not contain theirs."""
    marks: dict[int, Marked] = {}
    """How each complete trial stands to the front, and whether pairs of cuts or intervals said so. Empty in documents
    of earlier versions."""
    driven: bool = Field(True, exclude=True)
    """Whether a driver lives that brings trials to their end. It is true of a moment, so no file keeps it."""

    @field_validator("trials")
    @classmethod
    def _as_shown(cls, trials: list[TrialRecord]) -> list[TrialRecord]:
        return [trial.as_shown() for trial in trials]

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> SearchDocument:
        """Refuses what no search has written, so that whoever reads a document can rely on it."""
        if len(self.reference_point) != len(self.objectives):
            raise ValueError(f"reference_point: {len(self.reference_point)} numbers; expected one for each objective")
        by_number = {trial.number: trial for trial in self.trials}
        if len(by_number) != len(self.trials):
            raise ValueError("trials: a number that two trials have; expected each once")
        for number in self.front:
            if number not in by_number or not is_judged(by_number[number], self.objectives):
                raise ValueError(f"front: {number}; expected complete trials whose objectives were measured")
        return self

    def marked(self) -> dict[int, Marked]:
        """How each complete trial stands to the front. Where the document does not say, intervals do."""
        if self.marks.keys() == {trial.number for trial in self.trials if is_judged(trial, self.objectives)}:
            return self.marks
        return Front.of(self.trials, self.objectives).marks()

    def members(self) -> list[TrialRecord]:
        """The trials of the front, sorted by MACs."""
        by_number = {trial.number: trial for trial in self.trials}
        return [by_number[number] for number in self.front]

    def state_of(self, trial: TrialRecord) -> str:
        """The state of a trial in words. One that nobody drives any more does not run: it is `interrupted`."""
        return "interrupted" if trial.state == "running" and not self.driven else trial.state


def document(
    name: str,
    objectives: Sequence[str],
    trials: Sequence[TrialRecord],
    reference_point: Sequence[float],
    teacher: TeacherPoint | None = None,
    *,
    shared: Sequence[SharedTraining] = (),
    driven: bool = True,
) -> SearchDocument:
    """Makes the document of a search: finds the front of its complete trials, its marks and its hypervolume.

    `shared` are the trainings that trials share. `driven` says whether a driver lives.
    """
    front = Front.of(trials, objectives)
    return SearchDocument(
        name=name,
        objectives=list(objectives),
        trials=sorted(trials, key=lambda trial: trial.number),
        front=[member.number for member in front.members],
        hypervolume=front.hypervolume(reference_point),
        reference_point=list(reference_point),
        teacher=teacher,
        shared=list(shared),
        marks=front.marks(),
        driven=driven,
    )
