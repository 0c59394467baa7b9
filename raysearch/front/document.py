"""The one document of a search: what `search --json` and `front --json` print and what tables, plots, MLflow show."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer

from raysearch.front.front import Front
from raysearch.front.objective import Objective
from raysearch.settings import Settings

State = Literal["complete", "stopped", "infeasible", "failed", "running"]

# JSON has no NaN: a number that is not one is written as null, and null is read as NaN.
Measured = Annotated[
    float,
    BeforeValidator(lambda number: nan if number is None else number),
    PlainSerializer(lambda number: number if isfinite(number) else None, when_used="json"),
]


class Cost(Settings):
    """What a student costs: known before it is trained."""

    macs_g: float
    """GMAC over the 32 utterance lengths of SUPERB's profiler, head excluded."""
    params_m: float
    """Millions of parameters, head excluded."""


class TrialRecord(Settings):
    """One trial as it stands."""

    number: int
    """Unique in its search."""
    state: State
    """`stopped`: early, at a rung. `infeasible`: refused when suggested. `failed`: see `error` and `cause`."""
    config: dict[str, Any]
    """Flat dotted keys, `method` among them."""
    metrics: dict[str, Measured] = {}
    """Named like `eval/per`, `eval/per_low`, `eval/per_high`, `test/per`, `train/loss`, `cost/seconds`.

    Errors are in percent.
    """
    cost: Cost
    """Of its student."""
    checkpoint: str | None = None
    """Folder of its last checkpoint."""
    error: str | None = None
    """What went wrong, in one line."""
    rung: int | None = None
    """The last rung it reached, in updates."""
    cause: str | None = None
    """Why it failed or was refused, in one word: lost, oom, nan, disk, user, input, infeasible."""
    overrides: dict[str, Any] = {}
    """Settings that a retry used in place of the configuration's: half the batch after running out of memory."""
    started_s: float | None = None
    """Unix time in seconds."""
    ended_s: float | None = None
    """Unix time in seconds; it orders the search's history."""

    @property
    def method(self) -> str:
        return str(self.config.get("method", "-"))


class TeacherPoint(Settings):
    """The teacher, as a mark on the front's plots."""

    name: str = "teacher"
    """How plots call it."""
    cost: Cost
    """Of its encoder."""
    metrics: dict[str, Measured] = {}
    """Its own errors, named as a trial's."""


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
