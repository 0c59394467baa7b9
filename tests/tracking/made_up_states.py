"""Made-up search states for the tests of the mirror."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raysearch.front.document import document
from raysearch.front.trials import Cost, SharedTraining, State, TrialRecord
from raysearch.tracking.state import SearchState


def record(number: int, state: State = "complete", wer: float | None = None, **kept: Any) -> TrialRecord:
    wer = 40.0 - 2 * number if wer is None else wer
    fields = {
        "config": {"method": "dicehubert", "student.depth": number + 1, "training.lr": 5e-4, "layers": [1, 2]},
        "metrics": {"eval/wer": wer, "eval/wer_low": wer - 2, "eval/wer_high": wer + 2, "cost/seconds": 90.0},
        "cost": Cost(macs_g=40.0 + 10 * number, params_m=2.0 + number),
        "rung": 100,
        "started_s": 1.7e9 + 100 * number,
        "ended_s": None if state == "running" else 1.7e9 + 100 * number + 90,
    }
    return TrialRecord(number=number, state=state, **{**fields, **kept})


def curve(lines: int) -> list[dict[str, Any]]:
    return [
        {"step": 10 * n, "seconds": 0.9 * n, "metrics": {"train/loss": 1 / n, "train/lr": 1e-3}}
        for n in range(1, lines + 1)
    ]


def state(
    records: list[TrialRecord],
    name: str = "an4",
    lines: int = 10,
    shared: Sequence[SharedTraining] = (),
    **kept: Any,
) -> SearchState:
    fields: dict[str, Any] = {
        "spec": {"name": name, "corpus": {"kind": "an4", "root": "/data/an4"}, "objectives": ["macs", "wer"]},
        "spec_hash": "abc123",
        "versions": {"torch": "2.13"},
        "git_commit": "f00d",
        "seed": 7,
        "folder": Path("searches") / name,
        "importances": lambda: {"wer": {"student.depth": 0.9, "training.lr": 0.1}},
        "curves": lambda number: curve(lines),
        "shared_curves": lambda digest: curve(lines),
        "finished": all(r.state != "running" for r in records),
    }
    made = document(name, ["macs", "wer"], records, [400, 100], shared=shared)
    return SearchState(document=made, **{**fields, **kept})
