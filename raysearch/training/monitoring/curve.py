"""The curve of a run: a file of JSON lines `{"step", "seconds", "metrics"}`. Trackers read it while it grows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysearch.files.whole import write_whole

CURVE_NAME = "curve.jsonl"
"""Name of the file in the folder of a run."""


class Curve:
    """The file of a curve. Lines are appended whole. A run that resumes drops a torn last line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, step: int, seconds: float, metrics: Mapping[str, float]) -> None:
        """Adds a line. `seconds` is the training time so far, without evaluations."""
        line = json.dumps({"step": step, "seconds": round(seconds, 3), "metrics": dict(metrics)})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def keep_to(self, step: int) -> dict[str, float]:
        """Drops the lines after `step` and returns the metrics of the last line that is left, or none."""
        lines = [(line, entry) for line, entry in self._entries() if entry["step"] <= step]
        if self.path.exists():
            write_whole(self.path, "".join(line + "\n" for line, _ in lines))
        return lines[-1][1]["metrics"] if lines else {}

    def _entries(self) -> list[tuple[str, dict[str, Any]]]:
        if not self.path.exists():
            return []
        entries = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                entries.append((line, json.loads(line)))
            except ValueError:
                break
        return entries
