"""One trial of a search as readers of the search see it, and the teacher in the same terms."""

from __future__ import annotations

from math import isfinite, nan
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer

from raysearch.evidence.kept import Evidence
from raysearch.settings import Outcome

State = Literal["complete", "stopped", "infeasible", "failed", "running"]

# JSON has no NaN: a number that is not one is written as null, and null is read as NaN.
Measured = Annotated[
    float,
    BeforeValidator(lambda number: nan if number is None else number),
    PlainSerializer(lambda number: number if isfinite(number) else None, when_used="json"),
]


class Cost(Outcome):
    """What a student costs. It is known before the student is trained."""

    macs_g: Measured
    """GMAC over the 32 utterance lengths of SUPERB's profiler, head excluded."""
    params_m: Measured
    """Millions of parameters, head excluded."""

    @property
    def known(self) -> bool:
        """Whether both numbers are known. They are not if a configuration has no student."""
        return isfinite(self.macs_g) and isfinite(self.params_m)


class TrialRecord(Outcome):
    """One trial as it stands now."""

    number: int
    """Number of the trial; each is used once in a search."""
    state: State
    """State of the trial. `stopped`: it ended early, at a rung. `infeasible`: its configuration was refused when it was
    suggested. `failed`: `error` and `cause` say why.
    """
    config: dict[str, Any]
    """Configuration of the trial: flat dotted keys, `method` among them."""
    metrics: dict[str, Measured] = {}
    """What was measured, under names such as `eval/per`, `eval/per_low`, `eval/per_high`, `test/per`, `train/loss` and
    `cost/seconds`.

    Errors are in percent.
    """
    cost: Cost
    """Cost of the trial's student. Both numbers are null if it has none, and then the trial has failed."""
    checkpoint: str | None = None
    """Folder of the trial's last checkpoint."""
    error: str | None = None
    """What went wrong, in one line."""
    rung: int | None = None
    """The last rung that the trial reached, in updates."""
    cause: str | None = None
    """Why the trial failed or was refused, in one word: lost, oom, nan, disk, user, input or infeasible."""
    repeats: int | None = None
    """Number of the trial whose settings this one runs again under another seed. The front holds that one."""
    trained_by: int | None = None
    """Number of the trial whose student this one has, since the two differ in how it is shipped alone. Its seed is that
    one's, and its seconds are those of judging the student again.
    """
    overrides: dict[str, Any] = {}
    """Settings that a retry used in place of the configuration's own, such as half the batch after memory ran out."""
    started_s: float | None = None
    """Unix time in seconds at which the trial started."""
    ended_s: float | None = None
    """Unix time in seconds at which the trial ended. The history of the search is in this order."""
    evidence: Evidence = Field({}, exclude=True, repr=False)
    """Its errors cut by cut, as far as they are at hand. A file of their own keeps them, and a record packs them."""

    @property
    def refused(self) -> bool:
        """Whether it was refused when it was suggested. Nothing was paid for it, and it does not count as a trial."""
        return self.state == "infeasible" or (self.state == "failed" and not self.cost.known)

    def as_shown(self) -> TrialRecord:
        """The trial as readers see it. One that has ended without a cost can be compared with nothing: it failed."""
        if self.cost.known or self.state == "running":
            return self
        cause = "input" if self.cause in (None, "infeasible") else self.cause
        error = self.error or "its configuration has no student"
        return self.model_copy(update={"state": "failed", "cause": cause, "error": error})

    @property
    def method(self) -> str:
        """Name of the trial's method; `-` if its configuration has none."""
        return str(self.config.get("method", "-"))


class TeacherPoint(Outcome):
    """The teacher, as a point beside the trials on plots of the front."""

    name: str = "teacher"
    """Name of the teacher in the legend."""
    cost: Cost
    """Cost of the teacher's encoder."""
    metrics: dict[str, Measured] = {}
    """Errors of the teacher itself, under the same names as those of a trial."""
