"""Reads the searches that MLflow holds, as far as the caller may see them.

Each search has a run of its own, the parent of its trials' runs. That run and its `front.json` tell all; the runs of
trials, of which there may be thousands, are not read.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from math import isfinite
from typing import Any

from anyio.to_thread import run_sync

from mlflow_server.loopback import Loopback, RefusedError
from mlflow_server.runs import tags_of
from raysearch.errors import InputError
from raysearch.files.yaml_text import parse_yaml
from raysearch.front.beside import Beside, beside, cost_of
from raysearch.front.document import SearchDocument
from raysearch.front.drawing import COLOURS, LIGHTER, SHAPES, axis_label, pairs_of, step_line
from raysearch.front.front import Front
from raysearch.front.objective import COSTS, errors_of, header, interval, unit, value
from raysearch.front.published import SETS
from raysearch.front.settings_page import setting_axes, shown_trials
from raysearch.front.table import search_line, varying_settings
from raysearch.front.trials import TeacherPoint, TrialRecord
from raysearch.tracking import tags

MOST_KEPT = 16
"""Number of searches whose document stays in memory."""


LOOK = {"colours": COLOURS, "lighter": LIGHTER, "shapes": tuple(shape.plotly for shape in SHAPES)}
"""How the page tells methods or searches apart, as pictures do: colours on light and on dark paper, and shapes."""


async def list_searches(mlflow: Loopback) -> list[dict[str, Any]]:
    """All searches, newest first, with what the list of the page shows of each."""
    experiments = await _pages(mlflow, "experiments", filter="name LIKE 'raysearch/%'")
    ids = [experiment["experiment_id"] for experiment in experiments]
    if not ids:
        return []
    # Only a search's own run carries the hash; its trials do not.
    runs = await _pages(
        mlflow, "runs", experiment_ids=ids, filter=f"tags.`{tags.SPEC_HASH}` LIKE '%'", order_by=["start_time DESC"]
    )
    return [_listed(run) for run in runs]


def _listed(run: dict[str, Any]) -> dict[str, Any]:
    """One line of the list, from the run of a search."""
    info, data = run["info"], run.get("data", {})
    about = tags_of(data)
    metrics = {metric.get("key"): metric for metric in data.get("metrics") or ()}
    # The step of this metric counts the trials that have ended.
    size = metrics.get("search/front_size", {})
    status = "interrupted" if info.get("status") == "KILLED" else str(info.get("status", "")).lower()
    return {
        "id": info["run_id"],
        "experiment": info.get("experiment_id", ""),
        "name": about.get(tags.SEARCH, info.get("run_name", "")),
        # The mirror ends the run of a search whose driver is gone.
        "status": status,
        # Whoever has a search of this version lacks nothing of it.
        "version": f"{about.get(tags.MIRRORED, '')} {status}",
        "heard_ms": _count(size.get("timestamp")),
        "started_ms": _count(info.get("start_time")),
        "objectives": about.get(tags.OBJECTIVES, "").split(","),
        "ended": _count(size.get("step")),
        "front": _count(size.get("value", 0)),
        "hypervolume": _number(metrics.get("search/hypervolume", {}).get("value")),
    }


def _count(number: Any) -> int:
    """A metric as a count. One that is no number counts as none: one odd run must not hide all searches."""
    found = _number(number)
    return 0 if found is None else int(found)


def _number(number: Any) -> float | None:
    """A metric as MLflow sends it, which writes NaN and infinities as words; None for these."""
    try:
        found = float(number)
    except (TypeError, ValueError, OverflowError):
        return None
    return found if isfinite(found) else None


async def _pages(mlflow: Loopback, kind: str, **query: Any) -> list[dict[str, Any]]:
    """All that a search of MLflow finds, page by page."""
    found: list[dict[str, Any]] = []
    token: str | None = None
    while True:
        page = await mlflow.api(
            "POST", f"{kind}/search", max_results=1000, **query, **({"page_token": token} if token else {})
        )
        found += page.get(kind, [])
        if not (token := page.get("next_page_token")):
            return found


class Documents:
    """The documents of searches by run. Each is kept until the mirror has written a newer one."""

    def __init__(self) -> None:
        self._kept: OrderedDict[tuple[str, str], SearchDocument] = OrderedDict()

    async def get(self, mlflow: Loopback, run_id: str) -> SearchDocument:
        """The document of a search.

        Raises: RefusedError if the caller may not read the run, or there is none, or it has no `front.json` yet.
        """
        # The run is asked for even if its document is kept: so MLflow decides each time who may see it.
        run = (await mlflow.api("GET", "runs/get", run_id=run_id))["run"]
        key = (run_id, tags_of(run["data"]).get(tags.MIRRORED, ""))
        if key not in self._kept:
            content = await mlflow.artifact(run_id, "front.json")
            self._kept[key] = await run_sync(SearchDocument.checked_json, content)
        self._kept.move_to_end(key)
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return self._kept[key]


async def published_beside(mlflow: Loopback, run_id: str, document: SearchDocument) -> Beside:
    """The published points that compare with a search. A search whose document cannot be read has none."""
    try:
        asked = await run_sync(parse_yaml, await mlflow.artifact(run_id, "spec.yaml"), "spec.yaml", "a search document")
        return await run_sync(beside, document, asked if isinstance(asked, dict) else {}, tuple(SETS))
    except (RefusedError, InputError):
        return Beside()


def page_document(run_id: str, document: SearchDocument, published: Beside | None = None) -> str:
    """What the page shows of one search, as JSON: its complete trials with their marks, what became of the others, and
    what the axes show on the first cost and the first error, and as `pairs` on any two objectives.

    Published points are there beside the trials, never among them.
    """
    front = Front.of(document.trials, document.objectives)
    knee, marks = front.knee(), document.marked()
    pairs = [_pair(document, front, pair) for pair in pairs_of(document.objectives)]
    return plain_json(
        {
            "id": run_id,
            "name": document.name,
            "line": search_line(document),
            "objectives": [
                {"key": o, "title": header(o), "unit": unit(o), "cost": o in COSTS} for o in document.objectives
            ],
            **pairs[0],
            "pairs": pairs,
            # They have a place on the first cost and the first error alone.
            "published": _published(published or Beside(), pairs[0]["axes"]["x"]),
            "settings": varying_settings(document.trials),
            "knee": None if knee is None else knee.number,
            "front": document.front,
            "trials": [
                _trial(trial, document.objectives)
                | {"mark": marks[trial.number].mark.value, "by": marks[trial.number].by}
                for trial in document.trials
                if trial.number in marks
            ],
            "others": [
                _trial(trial, document.objectives) | {"why": _why(trial)}
                for trial in document.trials
                if trial.number not in marks
            ],
        }
    )


def _pair(document: SearchDocument, front: Front, pair: tuple[str, str]) -> dict[str, Any]:
    """What the chart shows on two objectives beside the trials."""
    x, y = pair
    return {
        "axes": {
            "x": x,
            "y": y,
            "x_label": axis_label(x),
            "y_label": axis_label(y),
            "x_log": x in COSTS,
            "y_log": y in COSTS,
        },
        "line_through": [trial.number for trial in step_line(front, pair)],
        "teacher": _teacher(document.teacher, x, y),
    }


def settings_document(document: SearchDocument, importances: bytes) -> str:
    """What the settings of a search did, as JSON: importances as the mirror wrote them, and axes of complete trials."""
    found = setting_axes(document)
    marks = document.marked()
    return plain_json(
        {
            "importances": json.loads(importances),
            "objectives": {name: header(name) for name in document.objectives},
            "trials": [
                {"number": trial.number, "method": trial.method, "mark": marks[trial.number].mark.value}
                for trial in shown_trials(document)
            ],
            "axes": [axis._asdict() | {"ticks": list(axis.ticks.items())} for axis in found],
        }
    )


def plain_json(document: Any) -> str:
    """The document as JSON that a browser reads: a number that is none, as in a damaged record, becomes null.

    Raises: InputError if a number has too many digits to be written.
    """
    try:
        return json.dumps(document, allow_nan=False)
    except ValueError:
        pass
    try:
        return json.dumps(json.loads(json.dumps(document), parse_constant=lambda name: None))
    except ValueError as err:
        raise InputError(f"damaged record: {err}; expected numbers that a search has written") from err


def _trial(trial: TrialRecord, objectives: Sequence[str]) -> dict[str, Any]:
    return {
        "number": trial.number,
        "state": trial.state,
        "method": trial.method,
        "config": trial.config,
        "rung": trial.rung,
        "seconds": None if trial.ended_s is None or trial.started_s is None else trial.ended_s - trial.started_s,
        "cost": {name: _finite(value(trial, name)) for name in COSTS},
        "error": {
            name: {
                "value": _finite(value(trial, name)),
                "low": low,
                "high": high,
                "test": _finite(value(trial, name, "test")),
            }
            for name in errors_of(objectives)
            for low, high in [interval(trial, name)]
        },
    }


def _why(trial: TrialRecord) -> str:
    """What became of a trial that is not complete, in its own words; empty if its state says all."""
    return ": ".join(part for part in (trial.cause, trial.error) if part)


def _teacher(teacher: TeacherPoint | None, x: str, y: str) -> dict[str, Any] | None:
    if teacher is None or not (isfinite(value(teacher, x)) and isfinite(value(teacher, y))):
        return None
    return {"name": teacher.name, "x": value(teacher, x), "y": value(teacher, y)}


def _published(found: Beside, cost: str) -> dict[str, Any]:
    points = [
        {"name": point.name, "x": cost_of(point, cost), "y": point.error, "source": point.source}
        for point in found.points
    ]
    return {"label": found.label, "points": points}


def _finite(number: float) -> float | None:
    """The number, or None if it is none: JSON has no NaN."""
    return number if isfinite(number) else None
