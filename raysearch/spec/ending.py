"""What ends a trial that takes too long, and a search whose front stands still."""

from __future__ import annotations

from pydantic import Field, model_validator

from raysearch.settings import Settings


class TimeoutSettings(Settings):
    """The time after which a trial is ended. Exactly one of `seconds` and `times` is given."""

    seconds: float | None = Field(None, gt=0, le=1e9)
    """Seconds that a trial may take, its evaluations included. No trial is started that is expected to take longer."""
    times: float | None = Field(None, ge=1, le=1e6)
    """How many times longer than expected a trial may take. It is expected to take what the plan says, corrected by the
    trials that have ended."""

    @model_validator(mode="after")
    def _one(self) -> TimeoutSettings:
        if (self.seconds is None) == (self.times is None):
            raise ValueError(f"{'neither' if self.seconds is None else 'both'}; expected one of seconds, times")
        return self
