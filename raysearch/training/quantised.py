"""Which updates of a run see the student with values of 8 bits, and which of its values have them.

This file imports no torch, because documents are checked without it.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Quantised:
    """Quantisation-aware training: the last updates of a run are made through the 8 bits of the student's file."""

    share: float
    """Share of the updates that are made so, the last ones."""
    static: bool
    """Whether weights have one scale for each output, and what enters them one for all recordings. Else there is one
    scale for each weight, and one for each recording."""
    convolutions: bool
    """Whether convolutions have 8 bits too."""

    def covers(self, step: int, budget: int) -> bool:
        """Whether update number `step`, counted from 0, is one of the last of `budget` updates."""
        return step >= budget - round(self.share * budget)
