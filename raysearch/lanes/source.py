"""Where lanes get their trials from, as they see it. No Ray here: whatever suggests trials need not know of lanes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from raysearch.spec.space import Config


@dataclass(frozen=True)
class Suggestion:
    number: int
    config: Config
    seed: int
    """Seed of the trial's training."""
    overrides: Config = field(default_factory=dict)
    """Settings in place of the configuration's, from a retry."""
    spent_s: float = 0.0
    """Seconds that earlier attempts took up to their last rung."""


class Source(Protocol):
    """Suggests trials and hears what becomes of them."""

    def suggest(self) -> Suggestion | None:
        """The next trial to run; None if there is nothing more to suggest."""

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        """Hears of a rung before the last. Returns whether the trial goes on."""

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        """Hears of the last rung."""

    def fail(self, number: int, cause: str, error: str) -> None:
        """Hears that a trial broke. It may be suggested again."""
