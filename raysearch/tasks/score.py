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
    others: dict[str, Score] = field(default_factory=dict)
    """Other figures of the same readings, by name: `accuracy`, `macro_f1`, ..."""

    def metrics(self, name: str) -> dict[str, float]:
        """Flat form for reports: `{name, name_low, name_high}`; other figures go beside it, as `eval/macro_f1`."""
        found = {name: self.value, f"{name}_low": self.low, f"{name}_high": self.high}
        beside = name.removesuffix(name.split("/")[-1])
        for other, score in self.others.items():
            found |= score.metrics(beside + other)
        return found
