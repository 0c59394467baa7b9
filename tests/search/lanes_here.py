"""Lanes without Ray: a search runs its trials in this process, one after the other.

Only Ray is left out. The worker's code runs the trials, and their reports reach the searcher as they do from Tune.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib import import_module
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ray.tune.search import Searcher as TuneSearcher

from raysearch.lanes import worker
from raysearch.lanes.lane import LaneSetup
from raysearch.lanes.room import Room
from raysearch.lanes.source import Source
from raysearch.lanes.tune import _Run

# `raysearch.search` is a function, so that this file is not found as its attribute.
run_file = import_module("raysearch.search.run")


def leave_ray_out(patch: pytest.MonkeyPatch) -> None:
    """Until the patch ends, searches of this process run without Ray. Their teachers must be there."""

    @contextmanager
    def connected(address: str | None) -> Iterator[bool]:
        yield True

    patch.setattr(run_file, "connected", connected)
    patch.setattr(run_file, "cluster_cpus", lambda: 1.0)
    patch.setattr(run_file, "uses_gpu", lambda workers: False)
    patch.setattr(run_file, "board_of", lambda folder, uri: SimpleNamespace(read=dict))
    patch.setattr(run_file, "run_lanes", run_lanes_here)


def run_lanes_here(
    source: Source, setup: LaneSetup, room: Room, heard: Callable[[str, int], None], tick: Callable[[], None]
) -> None:
    run, values = _Run(source, setup, lambda: 1, heard), asdict(setup)
    workplace = worker._workplace(values, torch.device("cpu"))
    while (asked := run.suggest("one")) != TuneSearcher.FINISHED:
        assert isinstance(asked, dict)  # no other trial runs, so that there is nothing to wait for
        order = asked["suggestion"]
        for report in _reports(workplace, order, values):
            result = {"number": order["number"], "report": report, "waited_s": 0.0}
            if report.get("final") or report.get("cause"):
                run.end("one", result, error=False)
            elif not run.observe(result):
                run.end("one", result, error=False)
                break
        tick()


def _reports(workplace: worker.Workplace, order: dict[str, Any], setup: dict[str, Any]) -> Iterator[dict[str, Any]]:
    try:
        for report in worker._reports(workplace, order, setup):
            yield {"step": report.step, "metrics": {**report.metrics, "cost/seconds": 0.0}, "final": report.final}
    except Exception as err:  # as in the loop of a worker
        yield {"cause": worker._cause(err), "error": worker._last_words(err), "metrics": {}}
