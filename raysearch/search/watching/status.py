"""Says how a search stands, while it runs and after, from its study alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from math import inf
from statistics import mean
from typing import TYPE_CHECKING, Any

from raysearch.errors import InputError, WorkError, counted
from raysearch.front.document import SearchDocument
from raysearch.front.front import hypervolume_history
from raysearch.front.objective import header, value
from raysearch.front.table import shared_text
from raysearch.front.trials import SharedTraining, TrialRecord
from raysearch.search.memory.pasts import learns_from
from raysearch.search.timing.budget import in_its_unit
from raysearch.search.watching.standing import Standing
from raysearch.spec.budget import EACH, ENDLESS, WORDS
from raysearch.training.monitoring.progress import Step, duration

if TYPE_CHECKING:
    from raysearch.spec.document import Spec

SECONDS = "cost/seconds"


def search_status(
    document: SearchDocument, spec: Spec, asked: int, standing: Standing, spent: Mapping[str, float]
) -> dict[str, Any]:
    """How the search stands, as `status --json` prints it. `asked` is the number of trials that it is to run.

    `spent` is what its drivers have spent of a budget, by unit.

    Seconds spent and saved are those of all workers together, without trainings that trials share. Times count from the
    start of the first trial.
    """
    states: dict[str, int] = {}
    for trial in document.trials:
        # A trial that nobody drives any more does not run.
        state = "interrupted" if trial.state == "running" and standing.state != "running" else trial.state
        states[state] = states.get(state, 0) + 1
    ended = [trial for trial in document.trials if trial.state != "running" and not trial.refused]
    of_asked = [trial for trial in ended if trial.repeats is None]
    spent_s = sum(_spent_s(trial) for trial in document.trials)
    budget = _budget(spec, spent, document.hypervolume)
    left_s = _left_s(document.trials, of_asked, asked, _lanes(document.trials, spec))
    if budget and budget["left_seconds"] is not None:
        left_s = min(left_s or inf, budget["left_seconds"])
    return {
        "name": document.name,
        **standing.document(),
        "trials": states,
        "failed_by": dict(Counter(trial.cause for trial in document.trials if trial.state == "failed")),
        "asked": None if asked == ENDLESS else asked,
        "budget": budget,
        "front": [
            {"trial": trial.number, **{name: value(trial, name) for name in document.objectives}}
            for trial in document.members()
        ],
        "hypervolume": document.hypervolume,
        "hypervolume_history": _history(document),
        "shared": [one.model_dump(mode="json") for one in document.shared],
        "worker_seconds": round(spec.workers.num_workers * spent_s, 1),
        "saved_seconds": round(spec.workers.num_workers * _saved_s(ended, spec), 1),
        "left_seconds": left_s,
    }


def status_lines(status: dict[str, Any], *, long: bool) -> list[str]:
    """The status as lines for people: one line, and if `long` the front and the history below it."""
    causes = ", ".join(f"{count} {cause}" for cause, count in status["failed_by"].items())
    counts = [f"{count} {state}" for state, count in status["trials"].items()]
    shown = ", ".join(f"{one} ({causes})" if one.endswith(" failed") else one for one in counts) or "no trial yet"
    line = f"{status['name']}: {shown}{f' of {asked}' if (asked := status['asked']) else ''}"
    line += f"; front {len(status['front'])}"
    line += f", hypervolume {status['hypervolume']:.0f}"
    now = _now(status, works=not long)
    if not long:
        return [f"{line}; {now}" if now else line]
    works = (f"  {place}: {_step(work)}" for place, work in status["works"].items())
    lines = [
        line,
        *([now] if now else []),
        *works,
        f"worker time: {duration(status['worker_seconds'])}, saved by stopping {duration(status['saved_seconds'])}",
        *(f"before the trials: {shared_text(SharedTraining(**one))}" for one in status["shared"]),
    ]
    if status["budget"]:
        lines.append(_budget_line(status["budget"]))
    if status["left_seconds"]:
        lines.append(f"left: about {duration(status['left_seconds'])}")
    for one in status.get("changes", ()):
        what = ", ".join(f"{key}: {change}" for key, change in one["changes"].items())
        lines.append(f"from trial {one['trial']} on: {what}")
    for name, trust in status.get("foreseen", {}).items():
        shapes, error = counted(trust["shapes"], "measured shape"), trust["median_error"]
        lines.append(f"{name} of others is foreseen from {shapes}; median error {error:.1%}, each left out once")
    if status.get("learns_from"):
        lines.append(learns_from(status["learns_from"]))
    lines += ["front:", *(f"  {_point(point)}" for point in status["front"])]
    steps = status["hypervolume_history"]
    lines += ["hypervolume:", *(f"  after {duration(at):>7}  {volume:.0f}" for at, volume in steps)]
    return lines


def refuse_empty(document: SearchDocument) -> None:
    """Tells a search without any result as what it is: it failed, and by its input if that is why all trials failed.

    Raises: InputError or WorkError.
    """
    ran = [trial for trial in document.trials if not trial.refused]
    if document.front or not ran:
        return
    failed = [trial for trial in ran if trial.state == "failed"]
    if not failed:
        raise WorkError(f"{document.name}: none of {counted(len(ran), 'trial')} was run to its end")
    first = failed[0]
    what = f"{len(failed)} of {counted(len(ran), 'trial')} failed, the first, trial {first.number}"
    error = ((first.error or "").strip().splitlines() or ["no reason is known"])[-1]
    if len(failed) == len(ran) and all(trial.cause == "input" for trial in ran):
        raise InputError(f"{document.name}: {what}: {error}")
    raise WorkError(f"{document.name}: {what} ({first.cause}): {error}")


def _now(status: dict[str, Any], *, works: bool) -> str:
    """What goes on, or how to go on, and nothing of a search that is done.

    With `works` it says how far the training is that the trials wait for.
    """
    if status["state"] == "running":
        before = next((status["works"][place] for place in ("teacher", "shared") if place in status["works"]), None)
        # That trials run is told by their number.
        doing = "" if status["trials"] and status["doing"] == "running" else str(status["doing"])
        return f"{doing}: {_step(before)}" if works and before else doing
    if status["state"] == "done":
        return f"done: {status['reason']}" if status["reason"] else ""
    reason = f": {status['reason']}" if status["reason"] else ""
    return f"{status['state']}{reason}" + (f"; continue with: {status['resume']}" if status["resume"] else "")


def _step(work: dict[str, Any]) -> str:
    return str(Step(**{key: value for key, value in work.items() if key != "left_seconds"}))


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


def _budget(spec: Spec, spent: Mapping[str, float], hypervolume: float) -> dict[str, Any] | None:
    """What of the budget is spent and left, in its own unit, and the hypervolume for each unit that was spent."""
    settings = spec.search.budget
    if settings is None:
        return None
    used = in_its_unit(settings, spent)
    # While lanes work, all that they hold is spent at one rate.
    left, rate = max(0.0, settings.amount - used), used / spent["hours"] if spent.get("hours") else 0.0
    return {
        "of": settings.amount,
        "unit": settings.key,
        "spent": used,
        "left": left,
        "left_seconds": round(3600 * left / rate, 1) if rate else None,
        "hypervolume_per_unit": hypervolume / used if used else None,
    }


def _budget_line(budget: Mapping[str, Any]) -> str:
    word = WORDS[budget["unit"]]
    line = f"budget: {budget['spent']:.3g} of {budget['of']:g} {word} spent, {budget['left']:.3g} left"
    each = budget["hypervolume_per_unit"]
    return line if each is None else f"{line}; hypervolume {each:.3g} {EACH[budget['unit']]}"


def _spent_s(trial: TrialRecord) -> float:
    return trial.metrics.get(SECONDS, 0.0)


def _saved_s(ended: list[TrialRecord], spec: Spec) -> float:
    """Seconds that stopping has saved: what the stopped trials would have taken yet, had they gone on at their pace."""
    stopped = [(trial, trial.rung) for trial in ended if trial.state == "stopped" and trial.rung]
    return sum(_spent_s(trial) * (spec.updates(trial.method) / rung - 1) for trial, rung in stopped)


def _lanes(trials: list[TrialRecord], spec: Spec) -> int:
    """Number of lanes. Where the cluster decides, there is one for each trial that runs."""
    return max(spec.workers.fewest_lanes, sum(trial.state == "running" for trial in trials))


def _left_s(trials: list[TrialRecord], ended: list[TrialRecord], asked: int, lanes: int) -> float | None:
    """Seconds until the search ends, by the mean time of a trial so far. None before the first trial has ended."""
    if asked == ENDLESS or not any(_spent_s(trial) for trial in ended):
        return None
    each_s = mean(_spent_s(trial) for trial in ended)
    # A running trial that has passed the mean already must not make the others seem shorter.
    running_s = sum(min(_spent_s(trial), each_s) for trial in trials if trial.state == "running")
    return round(max(0.0, (asked - len(ended)) * each_s - running_s) / lanes, 1)
