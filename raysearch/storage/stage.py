"""How far a search is, in a small file of its folder: its driver writes it, and whoever asks for its status reads it.

The study knows of trials alone. Before the first one a teacher is trained, and within one a label set may be built.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

from raysearch.files.whole import write_whole
from raysearch.training.monitoring.progress import Step

STAGE = "stage.json"


@dataclass(frozen=True)
class Stage:
    """What a driver was doing when it last wrote."""

    phase: str
    """`starting`, `teacher`, `shapes`, `shared` or `trials`; of a driver that has ended `done`, `interrupted` or
    `failed`."""
    works: Mapping[str, Step] = field(default_factory=dict)
    """How far each piece of work is, by its place: `teacher`, `shared`, or a trial such as `trial 3`."""
    reason: str = ""
    """Why it failed, in one line."""
    spent: Mapping[str, float] = field(default_factory=dict)
    """What it and those before it have spent of a budget, by unit. Empty without a budget."""


def write_stage(folder: Path, stage: Stage) -> None:
    """Puts the stage in place of the one before. Whoever reads meanwhile finds one of the two."""
    write_whole(folder / STAGE, json.dumps(asdict(stage)))


def read_stage(folder: Path) -> Stage | None:
    """The stage that was written last. None if there is none, or it cannot be read."""
    try:
        document = json.loads((folder / STAGE).read_text(encoding="utf-8"))
        works = {str(place): Step(**step) for place, step in document["works"].items()}
        spent = {str(unit): float(amount) for unit, amount in document.get("spent", {}).items()}
        return Stage(str(document["phase"]), works, str(document.get("reason", "")), spent)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None
