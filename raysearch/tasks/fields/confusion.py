"""The confusion matrix: how often each class is taken for each other. It is kept as JSON, and drawn as a picture."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

DOCUMENT_NAME = "confusion.json"
# With more classes than this, the numbers in the picture would run into each other.
_MOST_NUMBERS = 20


@dataclass(frozen=True)
class Confusion:
    """The confusion matrix of one field."""

    field: str
    classes: tuple[str, ...]
    counts: NDArray[np.int64]
    """Counts of cuts. A row is a class that was said, and a column is a class that was read."""

    @classmethod
    def of(cls, field: str, classes: Sequence[str], pairs: Iterable[tuple[str, str]]) -> Confusion:
        """The confusion in these `pairs` of what was said and what was read.

        A pair whose first class is not among `classes` is left out.
        """
        index = {name: position for position, name in enumerate(classes)}
        counts = np.zeros((len(classes), len(classes)), dtype=np.int64)
        for said, read in pairs:
            if said in index:
                counts[index[said], index[read]] += 1
        return cls(field, tuple(classes), counts)

    def save(self, folder: Path) -> None:
        """Writes the matrix to `confusion.json` in the folder."""
        document = {"field": self.field, "classes": self.classes, "counts": self.counts.tolist()}
        (folder / DOCUMENT_NAME).write_text(json.dumps(document), encoding="utf-8")

    def draw(self, path: Path) -> None:
        """Draws the matrix into a picture. Its numbers are counts.

        Shades are shares of a row, so that rare classes show as well.
        """
        # matplotlib is slow to import, and most evaluations draw nothing.
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure

        size = float(np.clip(2.5 + 0.45 * len(self.classes), 4, 14))
        figure = Figure(figsize=(size, size), dpi=120, layout="constrained")
        # Agg draws without a display. pyplot would look for one, and keep every figure in memory.
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
