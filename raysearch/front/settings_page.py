"""Draws what the settings did in a search, as an HTML page that needs no network.

It shows how important each setting was for each objective, and all trials in parallel coordinates.
"""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from math import isfinite
from numbers import Real
from pathlib import Path
from typing import Any

from raysearch.front.document import SearchDocument
from raysearch.front.objective import axes, header, value
from raysearch.front.table import setting_text, varying_settings
from raysearch.front.trials import TrialRecord


def draw_settings(document: SearchDocument, importances: Mapping[str, Mapping[str, float]], path: Path) -> None:
    """Writes the page, for complete trials only. Without importances it holds the coordinates alone.

    `importances` holds objective -> setting -> share.
    """
    figures = [_coordinates(document)]
    if importances:
        figures.append(_bars(importances))
    # The first figure brings plotly's script, which the second one then uses too.
    parts = [figure.to_html(full_html=False, include_plotlyjs=index == 0) for index, figure in enumerate(figures)]
    title = escape(f"{document.name}: settings")
    path.write_text(f'<!doctype html><meta charset="utf-8"><title>{title}</title>{"".join(parts)}')


def _bars(importances: Mapping[str, Mapping[str, float]]) -> Any:
    from plotly import graph_objects

    figure = graph_objects.Figure()
    for objective, shares in importances.items():
        figure.add_bar(
            name=header(objective), orientation="h", y=[escape(key) for key in shares], x=list(shares.values())
        )
    return figure.update_layout(
        template="plotly_white",
        title="Importance of each setting (PED-ANOVA)",
        xaxis={"title": {"text": "share"}},
        yaxis={"autorange": "reversed", "automargin": True},
    )


def _coordinates(document: SearchDocument) -> Any:
    from plotly import graph_objects

    trials = [
        trial
        for trial in document.trials
        if trial.state == "complete" and all(isfinite(value(trial, name)) for name in document.objectives)
    ]
    keys = ["method", *varying_settings(document.trials)]
    dimensions = [_dimension(key, [_setting(trial, key) for trial in trials]) for key in keys]
    dimensions += [
        {"label": header(name), "values": [value(trial, name) for trial in trials]} for name in document.objectives
    ]
    _, error = axes(document.objectives)
    line = {"color": [value(trial, error) for trial in trials], "colorscale": "Viridis", "showscale": True}
    figure = graph_objects.Figure(graph_objects.Parcoords(dimensions=dimensions, line=line))
    return figure.update_layout(title=escape(f"{document.name}: complete trials, coloured by {header(error)}"))


def _setting(trial: TrialRecord, key: str) -> Any:
    return trial.method if key == "method" else trial.config.get(key)


def _dimension(key: str, settings: list[Any]) -> dict[str, Any]:
    """One axis of the coordinates. Numbers stay numbers; anything else gets a tick for each different text."""
    label = escape(key.rpartition(".")[2])
    if settings and all(isinstance(setting, Real) and not isinstance(setting, bool) for setting in settings):
        return {"label": label, "values": settings}
    texts = [setting_text(setting) for setting in settings]
    ticks = sorted(set(texts))
    return {
        "label": label,
        "values": [ticks.index(text) for text in texts],
        "tickvals": list(range(len(ticks))),
        "ticktext": [escape(tick) for tick in ticks],
    }
