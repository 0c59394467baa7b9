"""Finds the runs of trials in MLflow, and reads the curves that the mirror has written there."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mlflow_server.loopback import Loopback, static_prefix
from raysearch.errors import InputError
from raysearch.tracking import tags

CURVES = ("train/", "eval/")
"""Beginnings of the metrics that are curves."""


def tags_of(run: dict[str, Any]) -> dict[str, str]:
    """The tags of a run, or of anything else that MLflow sends, by their names."""
    return {tag.get("key", ""): tag.get("value", "") for tag in run.get("tags") or ()}


async def trial_run(mlflow: Loopback, run_id: str, number: int) -> dict[str, Any]:
    """The run of a trial below the run of its search. Raises: InputError if MLflow has none."""
    parent = (await mlflow.api("GET", "runs/get", run_id=run_id))["run"]
    found = await mlflow.api(
        "POST",
        "runs/search",
        experiment_ids=[parent["info"]["experiment_id"]],
        filter=f"tags.`{tags.PARENT}` = '{run_id}' AND tags.`{tags.TRIAL}` = '{number}'",
        max_results=1,
    )
    for run in found.get("runs", []):
        return dict(run)
    raise InputError(f"trial: {number}; expected a trial that MLflow has")


def run_address(run: dict[str, Any]) -> str:
    """The address of a run in MLflow's own pages."""
    return f"{static_prefix()}/#/experiments/{run['info']['experiment_id']}/runs/{run['info']['run_id']}"


async def curves(mlflow: Loopback, run_id: str, numbers: Sequence[int], metric: str) -> dict[str, Any]:
    """The curve of one metric of some trials, and the names of all metrics that have one in any of them."""
    runs = {number: await trial_run(mlflow, run_id, number) for number in numbers}
    names = {one["key"] for run in runs.values() for one in run["data"].get("metrics", ())}
    found = [
        {"trial": number, "points": await _points(mlflow, run["info"]["run_id"], metric)}
        for number, run in runs.items()
        if any(one["key"] == metric for one in run["data"].get("metrics", ()))
    ]
    return {"metrics": sorted(name for name in names if name.startswith(CURVES)), "curves": found}


async def _points(mlflow: Loopback, run_id: str, metric: str) -> list[tuple[int, float]]:
    """The points of a curve as (updates, value), in order. Where a step was measured twice, the later value counts."""
    history = await mlflow.api("GET", "metrics/get-history", run_id=run_id, metric_key=metric)
    latest = sorted(history.get("metrics", ()), key=lambda point: int(point.get("timestamp", 0)))
    points = {int(point.get("step", 0)): point.get("value") for point in latest}
    return [(step, float(value)) for step, value in sorted(points.items()) if isinstance(value, (int, float))]
