"""What lanes know of the searcher: it suggests trials and hears what becomes of them.

This file needs no Ray, so that the searcher need not either.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from raysearch.spec.space import Config

DRAINED = "drained"
"""The cause of a trial that was taken from a machine which is about to go. It runs again, and is not charged for it."""

NOTICE_S = 1.0
"""Seconds after which it is looked again whether a machine is about to go."""


@dataclass(frozen=True)
class Suggestion:
    """One trial to run. On its way to the workers it is called an order."""

    number: int
    """Number of the trial in its search."""
    config: Config
    """Configuration of the trial: dotted keys, `method` among them."""
    seed: int
    """Seed of the trial's training."""
    overrides: Config = field(default_factory=dict)
    """Settings that a retry puts in place of the configuration's own, such as half the batch."""
    spent_s: float = 0.0
    """Seconds that earlier attempts at this trial took, up to the last rung that they reached."""
    cpu_s: float = 0.0
    """CPU seconds that they took."""
    trained_by: int | None = None
    """Number of the trial whose student this one has, and only judges again. None if it trains its own."""
    limit_s: float | None = None
    """Seconds that the trial may take in all, those of earlier attempts included. None if there is no limit."""


class Source(Protocol):
    """The part of a searcher that lanes use."""

    @property
    def ahead(self) -> bool:
        """Whether the next trial may be suggested before it is to run: what runs now would change nothing about it."""

    def suggest(self) -> Suggestion | None:
        """The next trial to run. None if there is nothing more to suggest."""

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        """Hears the metrics of a trial at a rung before its last. Returns whether the trial goes on."""

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        """Hears the metrics of a trial at its last rung."""

    def fail(self, number: int, cause: str, error: str) -> None:
        """Hears that a trial failed, and why. The trial may be suggested again."""
