"""A measured error with its interval and the counts that it rests on."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raysearch.evidence.kept import Judged
    from raysearch.evidence.texts import CutTexts


ENDS = ("", "_low", "_high")
"""What ends the names of a figure and of its interval in reports."""


@dataclass(frozen=True)
class Score:
    """A figure in percent. The 95 % bootstrap interval runs from `low` to `high`."""

    value: float
    low: float
    high: float
    counts: dict[str, int] = field(default_factory=dict)
    """Counts that the figure rests on, for example words, substitutions, deletions, insertions and cuts."""
    others: dict[str, Score] = field(default_factory=dict)
    """Other figures of the same readings by name, for example `accuracy` and `macro_f1`."""
    judged: Judged | None = field(default=None, compare=False, repr=False)
    """The errors cut by cut, from which the figure follows. None of figures that no search looks for."""
    texts: CutTexts | None = field(default=None, compare=False, repr=False)
    """What was read cut by cut. None of what is no text, such as scores of pairs."""

    def metrics(self, name: str, suffix: str = "") -> dict[str, float]:
        """The flat form for reports: `name`, `name_low` and `name_high`, with the suffix behind each name.

        Other figures take the same group: beside `eval/error` there is `eval/macro_f1`.
        """
        found = dict(zip((f"{name}{suffix}{end}" for end in ENDS), (self.value, self.low, self.high), strict=True))
        beside = name.removesuffix(name.split("/")[-1])
        for other, score in self.others.items():
            found |= score.metrics(beside + other, suffix)
        return found
