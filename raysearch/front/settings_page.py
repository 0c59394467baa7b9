"""Draws what the settings did in a search, as an HTML page that needs no network.

It shows how important each setting was for each objective, and all trials in parallel coordinates.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import escape
from math import ceil, isfinite, log10
from numbers import Real
from pathlib import Path
from typing import Any, NamedTuple

from raysearch.front.document import SearchDocument
from raysearch.front.drawing import round_ticks
from raysearch.front.front import is_judged
from raysearch.front.objective import axes, header, value
from raysearch.front.table import setting_text, short_name, varying_settings
from raysearch.front.trials import TrialRecord

MOST_TICKS = 8
"""The most values of a setting that all have a tick."""
WIDE = 50
"""Ratio of the largest to the smallest number from which an axis is laid out by powers of ten."""


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
        title="Importance of each setting (errors: PED-ANOVA; MACs and parameters: exact)",
        xaxis={"title": {"text": "share"}},
        yaxis={"autorange": "reversed", "automargin": True},
    )


def _coordinates(document: SearchDocument) -> Any:
    from plotly import graph_objects

    axes_shown = setting_axes(document)
    _, error = axes(document.objectives)
    line = {"color": axes_shown[-1].values, "colorscale": "Viridis", "showscale": True}
    dimensions = [axis.dimension for axis in axes_shown]
    figure = graph_objects.Figure(graph_objects.Parcoords(dimensions=dimensions, line=line))
    return figure.update_layout(title=escape(f"{document.name}: complete trials, coloured by {header(error)}"))


class Axis(NamedTuple):
    """One setting, cost or error of all complete trials, as an axis shows it."""

    key: str
    """Key of the setting, or name of the objective."""
    label: str
    values: list[float]
    """Where each trial lies on the axis. A wide range is laid out by powers of ten, and words by their order."""
    ticks: dict[float, str]
    """The text at each of some places. Empty where values speak for themselves."""
    log: bool = False
    """Whether values are powers of ten."""

    @property
    def dimension(self) -> dict[str, Any]:
        """The axis as plotly's parallel coordinates take it."""
        ticks = {"tickvals": list(self.ticks), "ticktext": [escape(text) for text in self.ticks.values()]}
        return {"label": escape(self.label), "values": self.values, **(ticks if self.ticks else {})}


def shown_trials(document: SearchDocument) -> list[TrialRecord]:
    """The trials that settings are shown of: the complete ones that can be compared."""
    return [trial for trial in document.trials if is_judged(trial, document.objectives)]


def setting_axes(document: SearchDocument) -> list[Axis]:
    """The axes of the settings that vary and then of the objectives, of which the error by which lines are coloured is
    the last."""
    trials = shown_trials(document)
    keys = ["method", *varying_settings(document.trials)]
    found = [_setting_axis(key, [_setting(trial, key) for trial in trials]) for key in keys]
    _, error = axes(document.objectives)
    names = [*(name for name in document.objectives if name != error), error]
    return found + [Axis(name, header(name), [value(trial, name) for trial in trials], {}) for name in names]


def _setting(trial: TrialRecord, key: str) -> Any:
    return trial.method if key == "method" else trial.config.get(key)


def _setting_axis(key: str, settings: Sequence[Any]) -> Axis:
    known = [setting for setting in settings if setting is not None]
    label = short_name(key)
    if known and all(isinstance(one, Real) and not isinstance(one, bool) and isfinite(one) for one in known):
        return _number_axis(key, label, settings)
    texts = [setting_text(setting) for setting in settings]
    ticks = {float(at): text for at, text in enumerate(sorted(set(texts)))}
    places = {text: at for at, text in ticks.items()}
    return Axis(key, label, [places[text] for text in texts], ticks)


def _number_axis(key: str, label: str, settings: Sequence[Any]) -> Axis:
    """An axis of numbers, on which trials without the setting lie below all others."""
    known = [setting for setting in settings if setting is not None]
    low, high = min(known), max(known)
    wide = low > 0 and high >= WIDE * low
    scale: Callable[[float], float] = log10 if wide else float
    ticks = {scale(tick): setting_text(tick) for tick in _ticks(known, wide)}
    nowhere = scale(low) - 0.15 * ((scale(high) - scale(low)) or 1.0)
    if len(known) < len(settings):
        ticks[nowhere] = setting_text(None)
    return Axis(key, label, [nowhere if one is None else scale(one) for one in settings], ticks, wide)


def _ticks(known: Sequence[float], wide: bool) -> list[float]:
    """Where an axis has ticks. Few values have one each, and whole numbers have whole ones."""
    values = sorted(set(known))
    low, high = values[0], values[-1]
    if len(values) <= MOST_TICKS:
        return values
    if wide:
        return round_ticks(low, high) or [low, high]
    if all(isinstance(one, int) for one in values):
        return list(range(int(low), int(high) + 1, ceil((high - low) / (MOST_TICKS - 1))))
    return [low + (high - low) * at / 4 for at in range(5)]
