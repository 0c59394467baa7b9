"""The report of a training run at a rung, and the file in which a trial keeps its last one."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raysearch.files.whole import write_whole

REPORT_NAME = "report.json"


@dataclass(frozen=True)
class Report:
    """The state of a trial at a rung. `metrics` holds floats alone, named like `eval/per` or `train/loss`."""

    step: int
    """Updates done so far."""
    metrics: Mapping[str, float]
    final: bool = False
    """True at the last rung. The student is then trained to its budget, and its checkpoint is complete."""


def write_report(folder: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Keeps the report of the last rung that was reached."""
    write_whole(folder / REPORT_NAME, json.dumps({"step": step, "metrics": dict(metrics)}))


def read_report(folder: Path) -> tuple[int, dict[str, float]] | None:
    """The updates and metrics of the report that was kept. None if there is none that can be read."""
    try:
        old = json.loads((folder / REPORT_NAME).read_text(encoding="utf-8"))
        step, metrics = old["step"], old["metrics"]
        return (step, metrics) if isinstance(metrics, dict) else None
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
