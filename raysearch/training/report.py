"""The report of a training run at a rung."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Report:
    """The state of a trial at a rung. `metrics` holds floats alone, named like `eval/per` or `train/loss`."""

    step: int
    """Updates done so far."""
    metrics: Mapping[str, float]
    final: bool = False
    """True at the last rung. The student is then trained to its budget, and its checkpoint is complete."""
