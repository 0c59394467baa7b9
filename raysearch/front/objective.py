"""Objectives: which number of a trial each one is, and how it is written. All are minimised."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from raysearch.front.trials import TeacherPoint, TrialRecord

Objective = Literal["macs", "params", "size", "latency", "wer", "per", "eer", "error"]

COSTS = ("macs", "params", "size", "latency")
"""Objectives that are known exactly, or nearly so. The others are measured on a sample of cuts, with an interval."""
HEADERS = {"macs": "MACs G", "params": "params M", "size": "size MB", "latency": "latency ms"}
UNITS = {"macs": "GMAC", "params": "M params", "size": "MB", "latency": "ms"}


def value(point: TrialRecord | TeacherPoint, objective: str, split: str = "eval") -> float:
    """Value of an objective, in the unit that `unit` names. NaN where it was not measured.

    `split` is `eval` for dev or `test`; costs are the same on both.
    """
    return point.cost.of(objective) if objective in COSTS else point.metrics.get(f"{split}/{objective}", nan)


def interval(point: TrialRecord | TeacherPoint, objective: str) -> tuple[float, float]:
    """Ends of the 95 % interval on dev, widened if need be to hold the value itself.

    A cost has no interval, nor has an error for which none was measured: both ends are then the value.
    """
    measured = value(point, objective)
    if objective in COSTS:
        return measured, measured
    low, high = point.metrics.get(f"eval/{objective}_low", nan), point.metrics.get(f"eval/{objective}_high", nan)
    return (min(low, measured), max(high, measured)) if low <= high else (measured, measured)


def axes(objectives: Sequence[str]) -> tuple[str, str]:
    """The cost and the error by which a search is drawn and compared, which may have more than two objectives.

    They are its first cost and its first error. Without a cost it is MACs; without an error, the last objective.
    """
    cost = next((name for name in objectives if name in COSTS), "macs")
    error = next((name for name in objectives if name not in COSTS), objectives[-1])
    return cost, error


def header(objective: str) -> str:
    """What a table's column of this objective is called, such as `MACs G` or `WER %`."""
    return HEADERS.get(objective, f"{_word(objective)} %")


def unit(objective: str) -> str:
    """The unit of an objective, as it stands after a number, such as `GMAC` or `% WER`."""
    return UNITS.get(objective, f"% {_word(objective)}")


def _word(objective: str) -> str:
    return objective if objective == "error" else objective.upper()
