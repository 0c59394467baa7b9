"""A measured error with its interval and the counts that it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Score:
    """`value`, `low` and `high` in percent; `low`..`high` is the 95 % bootstrap interval."""

    value: float
    low: float
    high: float
    counts: dict[str, int] = field(default_factory=dict)
    """What was counted, e.g. words, substitutions, deletions, insertions, cuts."""

    def metrics(self, name: str) -> dict[str, float]:
        """Flat form for reports: `{name, name_low, name_high}`."""
        return {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
