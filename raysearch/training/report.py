"""What a training run says of itself at a rung."""

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
    """True at the last rung: the student is trained to its budget and its checkpoint is complete."""
