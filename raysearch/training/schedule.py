"""Learning rate schedules, as pure functions of the update's number."""

from __future__ import annotations


def linear(step: int, total: int, warmup: float) -> float:
    """The factor on the peak rate for update `step`, counted from 0.

    It rises linearly to 1 over a share `warmup` of the updates, then falls linearly to zero. The first and the last
    update have rates above zero, so neither is wasted.
    Source: HuBERT, Hsu et al. 2021, section IV-C (8 % of the updates warm up).
    """
    rising = round(warmup * total)
    if step < rising:
        return (step + 1) / (rising + 1)
    return (total - step) / (total - rising)
