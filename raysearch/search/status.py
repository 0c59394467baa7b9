"""Says how a search stands, while it runs and after, from its study alone."""

from __future__ import annotations

from statistics import mean
from typing import TYPE_CHECKING, Any

from raysearch.front.document import SearchDocument
from raysearch.front.front import hypervolume_history
from raysearch.front.objective import header, value
from raysearch.front.trials import TrialRecord

if TYPE_CHECKING:
    from raysearch.spec.document import Spec

SECONDS = "cost/seconds"


def search_status(document: SearchDocument, spec: Spec, asked: int) -> dict[str, Any]:
    """How the search stands, as `status --json` prints it. `asked` is the number of trials that it is to run.

    Seconds spent and saved are those of all workers together. Times count from the start of the first trial.
    """
    states: dict[str, int] = {}
    for trial in document.trials:
        states[trial.state] = states.get(trial.state, 0) + 1
    ended = [trial for trial in document.trials if trial.state in ("complete", "stopped", "failed")]
    spent_s = sum(_spent_s(trial) for trial in document.trials)
    return {
        "name": document.name,
        "trials": states,
        "asked": asked,
        "front": [
            {"trial": trial.number, **{name: value(trial, name) for name in document.objectives}}
            for trial in document.members()
        ],
        "hypervolume": document.hypervolume,
        "hypervolume_history": _history(document),
        "worker_seconds": round(spec.workers.num_workers * spent_s, 1),
        "saved_seconds": round(spec.workers.num_workers * _saved_s(ended, spec), 1),
        "left_seconds": _left_s(document.trials, ended, asked, spec.workers.lanes),
    }


def status_lines(status: dict[str, Any], *, long: bool) -> list[str]:
    """The status as lines for people: one line, and if `long` the front and the history below it."""
    shown = ", ".join(f"{count} {state}" for state, count in status["trials"].items()) or "no trial yet"
    line = f"{status['name']}: {shown} of {status['asked']}; front {len(status['front'])}"
    line += f", hypervolume {status['hypervolume']:.0f}"
    if not long:
        return [line]
    lines = [
        line,
        f"worker time: {_time(status['worker_seconds'])}, saved by stopping {_time(status['saved_seconds'])}",
    ]
    if status["left_seconds"]:
        lines.append(f"left: about {_time(status['left_seconds'])}")
    lines += ["front:", *(f"  {_point(point)}" for point in status["front"])]
    steps = status["hypervolume_history"]
    lines += ["hypervolume:", *(f"  after {_time(at):>7}  {volume:.0f}" for at, volume in steps)]
    return lines


def _point(point: dict[str, Any]) -> str:
    return f"trial {point['trial']:3d}  " + "  ".join(
        f"{header(name)} {number:.1f}" for name, number in point.items() if name != "trial"
    )


def _history(document: SearchDocument) -> list[tuple[float, float]]:
    """Pairs of (seconds since the first trial began, hypervolume), one each time that it grew."""
    ended = [trial for trial in document.trials if trial.state != "running" and trial.ended_s is not None]
    began_s = min((trial.started_s for trial in document.trials if trial.started_s is not None), default=0.0)
    times = sorted(trial.ended_s or 0.0 for trial in ended)
    steps: list[tuple[float, float]] = []
    history = hypervolume_history(ended, document.objectives, document.reference_point)
    for at_s, step in zip(times, history, strict=True):
        if step.hypervolume > (steps[-1][1] if steps else 0.0):
            steps.append((round(at_s - began_s, 1), step.hypervolume))
    return steps


def _spent_s(trial: TrialRecord) -> float:
    return trial.metrics.get(SECONDS, 0.0)


def _saved_s(ended: list[TrialRecord], spec: Spec) -> float:
    """Seconds that stopping has saved: what the stopped trials would have taken yet, had they gone on at their pace."""
    stopped = [(trial, trial.rung) for trial in ended if trial.state == "stopped" and trial.rung]
    return sum(_spent_s(trial) * (spec.updates(trial.method) / rung - 1) for trial, rung in stopped)


def _left_s(trials: list[TrialRecord], ended: list[TrialRecord], asked: int, lanes: int) -> float | None:
    """Seconds until the search ends, by the mean time of a trial so far. None before the first trial has ended."""
    if not any(_spent_s(trial) for trial in ended):
        return None
    each_s = mean(_spent_s(trial) for trial in ended)
    # A running trial that has passed the mean already must not make the others seem shorter.
    running_s = sum(min(_spent_s(trial), each_s) for trial in trials if trial.state == "running")
    return round(max(0.0, (asked - len(ended)) * each_s - running_s) / lanes, 1)


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
