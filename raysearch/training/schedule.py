"""Learning rate schedules: pure functions of the update."""

from __future__ import annotations


def linear(step: int, total: int, warmup: float) -> float:
    """Factor on the peak rate for update `step` (counted from 0): up to 1 over `warmup` of the updates, then to zero.

    Neither end is wasted: the first and the last update have a rate above zero.
    Source: HuBERT, Hsu et al. 2021, section IV-C (8 % of the updates warm up).
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / (rising + 1)
    return (total - step) / (total - rising)
