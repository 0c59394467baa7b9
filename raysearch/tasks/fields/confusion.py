"""Which classes are taken for which: a table of counts, kept as JSON, and a picture of it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DOCUMENT_NAME = "confusion.json"
_MOST_NUMBERS = 20


@dataclass(frozen=True)
class Confusion:
    field: str
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    """Row: what was said; column: what was read."""

    @classmethod
    def of(cls, field: str, classes: Sequence[str], pairs: Iterable[tuple[str, str]]) -> Confusion:
        """`pairs` of what was said and what was read; what is said outside `classes` is left out."""
        index = {name: position for position, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        for said, read in pairs:
            if said in index:
                counts[index[said], index[read]] += 1
        return cls(field, tuple(classes), counts)

    def save(self, folder: Path) -> None:
        document = {"field": self.field, "classes": self.classes, "counts": self.counts.tolist()}
        (folder / DOCUMENT_NAME).write_text(json.dumps(document), encoding="utf-8")

    def draw(self, path: Path) -> None:
        """Rows are shaded by their shares, so that rare classes show as well; numbers are counts."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        size = float(np.clip(2.5 + 0.45 * len(self.classes), 4, 14))
        figure = Figure(figsize=(size, size), dpi=120, layout="constrained")
        FigureCanvasAgg(figure)
        axes = figure.add_subplot()
        shares = self.counts / np.maximum(self.counts.sum(1, keepdims=True), 1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        axes.set_xticks(range(len(self.classes)), self.classes, rotation=90)
        axes.set_yticks(range(len(self.classes)), self.classes)
        axes.set_xlabel("read")
        axes.set_ylabel("said")
        axes.set_title(f"{self.field}: {self.counts.trace()} of {self.counts.sum()} right", fontsize=11)
        if len(self.classes) <= _MOST_NUMBERS:
            for row, column in np.argwhere(self.counts > 0):
                colour = "white" if shares[row, column] > 0.5 else "#333333"
                axes.text(column, row, str(self.counts[row, column]), ha="center", va="center", color=colour)
        figure.savefig(path)
