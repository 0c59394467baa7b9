"""The picture of a detection error trade-off (DET): misses against false acceptances, over all thresholds.

Its axes are normal deviates, on which Gaussian scores give straight lines.

Source: Martin et al., The DET curve in assessment of detection task performance, Eurospeech 1997.
Shapes: N pairs, K thresholds.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from raysearch.files.whole import whole_file
from raysearch.tasks.score import Score
from raysearch.tasks.speaker.detection import det_curve

TICKS = (0.1, 1, 2, 5, 10, 20, 40, 60, 80)
COLOURS = {"dev": "#7a8699", "test": "#0b6e99"}
INK, GRID = "#22272f", "#e3e6ea"


def draw_det(found: Mapping[str, tuple[Score, tuple[NDArray[np.float64], NDArray[np.bool_]]]], path: Path) -> None:
    """Draws a PNG of 960 x 880 pixels. Each split has a curve, from its error and the scores of its pairs."""
    # Every worker loads this file, and few of them draw.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 5.5), dpi=160, layout="constrained")
    axes = figure.add_subplot()
    low, high = norm.ppf(TICKS[0] / 100), norm.ppf(TICKS[-1] / 100)
    for split, (score, (scores_N, same_N)) in found.items():
        misses_K, alarms_K = det_curve(scores_N[same_N], scores_N[~same_N])
        # Rates of 0 and 1 lie at infinity on these axes. They are drawn at the edge.
        shown = [np.clip(norm.ppf(rates_K), low, high) for rates_K in (alarms_K, misses_K)]
        pairs = f"{score.counts['targets']} + {score.counts['impostors']} pairs"
        label = f"{split}: EER {score.value:.1f} % ({score.low:.1f} - {score.high:.1f}), {pairs}"
        axes.step(*shown, where="post", color=COLOURS[split], linewidth=1.8, label=label)
        axes.plot(*[norm.ppf(np.clip(score.value / 100, 1e-3, 0.8))] * 2, "o", color=COLOURS[split])
    axes.plot([low, high], [low, high], color=GRID, linewidth=1, zorder=0)
    for axis, name in ((axes.xaxis, "False acceptances %"), (axes.yaxis, "Misses %")):
        axis.set_ticks(norm.ppf(np.array(TICKS) / 100), [f"{tick:g}" for tick in TICKS])
        axis.set_label_text(name, color=INK)
    axes.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    axes.grid(color=GRID, linewidth=0.8)
    axes.legend(frameon=False, fontsize=9, loc="upper right")
    with whole_file(path) as part:
        figure.savefig(part, format="png")
