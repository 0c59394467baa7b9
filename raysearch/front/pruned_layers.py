"""Draws what pruning left of each layer of an encoder: channels, heads and units of the feed-forward networks (FFN)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

LAYERS_LEFT_FILE = "left.json"
"""Name of the file in a trial's folder that holds the numbers of units of each layer, before pruning and after it."""
LEFT, GONE, INK = "#0072B2", "#e3e3e3", "#333333"
PANELS = (
    ("channels", "channels of each convolution"),
    ("heads", "heads of each block"),
    ("ffn", "FFN units of each block"),
)


def draw_pruned_layers(trial_folder: Path, path: Path) -> None:
    """Draws the `left.json` of a trial's folder as a PNG of 1920 x 640 pixels.

    Raises: FileNotFoundError if nothing was pruned in that trial, or not yet.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    left = json.loads((trial_folder / LAYERS_LEFT_FILE).read_text(encoding="utf-8"))
    figure = Figure(figsize=(12, 4), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    for axes, (unit, title) in zip(figure.subplots(1, len(PANELS)), PANELS, strict=True):
        _draw(axes, left[unit]["left"], left[unit]["before"], title)
    figure.savefig(path)


def _draw(axes: Any, left: list[int], before: list[int], title: str) -> None:
    layers = range(1, len(left) + 1)
    axes.bar(layers, before, color=GONE, width=0.8)
    bars = axes.bar(layers, left, color=LEFT, width=0.8)
    if len(left) <= 12:
        axes.bar_label(bars, fontsize=8, padding=2, color=INK)
    share = sum(left) / max(1, sum(before))
    axes.set_title(f"{title}: {sum(left)} of {sum(before)} left ({share:.0%})", fontsize=10, color=INK)
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.set_xlabel("layer", color=INK)
    axes.set_ylim(0, 1.12 * max(1, *before))
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
