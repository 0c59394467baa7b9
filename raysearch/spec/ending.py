"""What ends a trial that takes too long, and a search whose front stands still."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raysearch.settings import Settings


class StopSettings(Settings):
    """When the front counts as standing still, by the surrogate's own word, so that a search is not worth its time."""

    gain: float = Field(0.005, gt=0, lt=1)
    """Share of the hypervolume by which no candidate is expected to make it grow."""
    suggestions: int = Field(4, ge=1, le=1_000)
    """So many suggestions in a row must promise less than `gain`."""


class RepeatSettings(Settings):
    """How often the members of the front run, each time under another seed, once no other trial is to begin."""

    seeds: int = Field(3, ge=2, le=100)
    """Runs of each member, the first one included."""
    of: Literal["front"] = "front"
    """Which trials are repeated."""


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
