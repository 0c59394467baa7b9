"""Trials whose errors were kept cut by cut."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from raysearch.evidence.kept import judged_cuts
from raysearch.front.trials import TrialRecord
from raysearch.tasks.interval import rate_interval
from tests.front.made_up_trials import trial


def judged_trial(
    number: int,
    macs_g: float,
    errors: Sequence[int],
    lengths: Sequence[int] | int = 1,
    name: str = "cut",
    half: float | None = None,
) -> TrialRecord:
    """A trial with so many errors in each cut. Its interval is +- `half`, or by default what its task would report."""
    lengths_C = np.broadcast_to(lengths, len(errors))
    score = rate_interval(errors, lengths_C, seed=1)
    judged = judged_cuts([f"{name}{at}" for at in range(len(errors))], errors, lengths_C)
    if half is not None:
        return trial(number, macs_g, score.value, half, evidence={"eval/wer": judged})
    return trial(number, macs_g, score.value, metrics=score.metrics("eval/wer"), evidence={"eval/wer": judged})
