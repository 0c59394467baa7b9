"""One trial of a search as its readers see it, and the teacher beside it."""

from __future__ import annotations

from math import isfinite, nan
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, PlainSerializer

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
