"""One trial of a search as readers of the search see it, and the teacher in the same terms."""

from __future__ import annotations

from math import isfinite, nan
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PlainSerializer, SerializerFunctionWrapHandler, model_serializer

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
    size_mb: Measured | None = None
    """Size of the exported ONNX file, in MB of a million bytes. None if the search did not ask for it, as below."""
    latency_ms: Measured | None = None
    """Median latency of that file on the search's device, in milliseconds."""
    latency_low_ms: Measured | None = None
    """5th percentile of the latencies that were measured."""
    latency_high_ms: Measured | None = None
    """95th percentile of them."""

    @model_serializer(mode="wrap")
    def _without_unasked(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        found: dict[str, Any] = handler(self)
        return {key: cost for key, cost in found.items() if key in ("macs_g", "params_m") or cost is not None}

    def of(self, objective: str) -> float:
        """The cost that an objective stands for. NaN if it is not known."""
        name = {"macs": "macs_g", "params": "params_m", "size": "size_mb", "latency": "latency_ms"}[objective]
        found: float | None = getattr(self, name)
        return nan if found is None else found

    @property
    def spread(self) -> tuple[float, float]:
        """5th and 95th percentile of the latencies. NaN if they are not known."""
        low, high = (nan if ms is None else ms for ms in (self.latency_low_ms, self.latency_high_ms))
        return low, high

    @property
    def text(self) -> str:
        """The cost in words, such as `42.1 GMAC, 1.9 M parameters, 7.6 MB, 8.31 ms`."""
        charged = [f"{self.of(name):.3g} {unit}" for name, unit in (("size", "MB"), ("latency", "ms"))]
        known = [text for text in charged if not text.startswith("nan")]
        return ", ".join([f"{self.macs_g:.4g} GMAC", f"{self.params_m:.3g} M parameters", *known])

    @property
    def known(self) -> bool:
        """Whether MACs and parameters are known. They are not if a configuration has no student."""
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
    `cost/seconds`, of the clock, and `cost/cpu_seconds`, of all cores that the trial's first worker used.

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


class SharedTraining(Outcome):
    """A training that was done once for all trials of a method, in this search or in one before it."""

    method: str
    """Name of the method whose trials share it."""
    digest: str
    """Name of its folder in the store."""
    seconds: Measured = nan
    """Seconds of the clock that it took, over all attempts. NaN where nobody counted."""
    cpu_seconds: Measured = nan
    """Seconds of CPU cores that it took."""


class TeacherPoint(Outcome):
    """The teacher, as a point beside the trials on plots of the front."""

    name: str = "teacher"
    """Name of the teacher in the legend."""
    cost: Cost
    """Cost of the teacher's encoder."""
    metrics: dict[str, Measured] = {}
    """Errors of the teacher itself, under the same names as those of a trial."""
