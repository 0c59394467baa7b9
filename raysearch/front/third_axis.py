"""The third objective of a picture, which colours stand for: dark is low. Both ways to draw, PNG and HTML, use it."""

from __future__ import annotations

from collections.abc import Sequence
from math import log10, nan
from typing import TYPE_CHECKING, Any

from raysearch.front.drawing import Drawing, Point, round_ticks
from raysearch.front.objective import COSTS, header

if TYPE_CHECKING:
    from plotly import graph_objects

SCALE = "viridis"
"""Colours that colour-blind readers can order too."""


def png_colours(shown: Drawing) -> dict[str, Any]:
    """The colour of each trial by its label, where colours stand for a third objective; empty where there is none."""
    if shown.third is None:
        return {}
    from matplotlib import colormaps

    scale = colormaps[SCALE]
    return {point.label: scale(share) for point, share in zip(shown.points, shown.thirds, strict=True)}


def add_png_bar(figure: Any, axes: Any, shown: Drawing) -> None:
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LogNorm, Normalize

    assert shown.third is not None
    values = [point.third for point in shown.points]
    norm = (LogNorm if shown.third in COSTS else Normalize)(min(values), max(values))
    # Below the legend, which stands right of the axes too.
    bar = figure.colorbar(ScalarMappable(norm, SCALE), cax=axes.inset_axes((1.03, 0.02, 0.03, 0.42)))
    bar.set_label(header(shown.third))
    bar.outline.set_visible(False)


def html_colours(shown: Drawing, points: Sequence[Point]) -> list[str]:
    """The colour of each trial: that of its method, or where there is a third objective that of its value."""
    if shown.third is None:
        return [shown.looks[point.method].colour for point in points]
    from plotly.colors import sample_colorscale

    found = dict(zip((point.label for point in shown.points), shown.thirds, strict=True))
    return [sample_colorscale(SCALE, [found[point.label]])[0] for point in points]


def add_html_bar(drawn: graph_objects.Figure, shown: Drawing) -> None:
    """Adds a point that is not drawn, with the scale of the third objective. Costs are labelled on a log scale."""
    assert shown.third is not None
    values = sorted(point.third for point in shown.points)
    low, high = values[0], values[-1]
    ticks = round_ticks(low, high) if shown.third in COSTS else []
    place = [log10(tick) for tick in ticks]
    ends = [log10(low), log10(high)] if shown.third in COSTS else [low, high]
    bar = {"title": {"text": header(shown.third)}, "len": 0.5, "y": 0, "yanchor": "bottom", "outlinewidth": 0}
    if place:
        bar |= {"tickvals": place, "ticktext": [f"{tick:g}" for tick in ticks]}
    scale = {"color": [ends[0]], "cmin": ends[0], "cmax": ends[1], "colorscale": SCALE, "colorbar": bar}
    drawn.add_scatter(x=[nan], y=[nan], mode="markers", marker=scale | {"showscale": True}, showlegend=False)
