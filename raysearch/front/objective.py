"""What each objective reads from a trial, and how it is written: all are numbers to minimise."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from raysearch.front.trials import TeacherPoint, TrialRecord

Objective = Literal["macs", "params", "latency", "wer", "per", "eer", "error"]

COSTS = ("macs", "params", "latency")
"""Known exactly, or nearly so; the others are measured on a sample of cuts and carry an interval."""
HEADERS = {"macs": "MACs G", "params": "params M", "latency": "latency ms"}
UNITS = {"macs": "GMAC", "params": "M params", "latency": "ms"}


def value(point: TrialRecord | TeacherPoint, objective: str, split: str = "eval") -> float:
    """The objective's value, in its unit (`unit`); NaN where it was not measured."""
    if objective == "macs":
        return point.cost.macs_g
    if objective == "params":
        return point.cost.params_m
    return point.metrics.get(f"{split}/latency_ms" if objective == "latency" else f"{split}/{objective}", nan)


def interval(point: TrialRecord | TeacherPoint, objective: str) -> tuple[float, float]:
    """The 95 % interval on dev, widened to hold the value; the value twice where none was measured."""
    measured = value(point, objective)
    if objective in COSTS:
        return measured, measured
    low, high = (point.metrics.get(f"eval/{objective}_{end}", nan) for end in ("low", "high"))
    return (min(low, measured), max(high, measured)) if low <= high else (measured, measured)


def axes(objectives: Sequence[str]) -> tuple[str, str]:
    """The cost and the error of a search, or of a flat picture of one: the first of each, else MACs and the last."""
    cost = next((name for name in objectives if name in COSTS), "macs")
    error = next((name for name in objectives if name not in COSTS), objectives[-1])
    return cost, error


def header(objective: str) -> str:
    return HEADERS.get(objective, f"{_word(objective)} %")


def unit(objective: str) -> str:
    return UNITS.get(objective, f"% {_word(objective)}")


def _word(objective: str) -> str:
    return objective if objective == "error" else objective.upper()
