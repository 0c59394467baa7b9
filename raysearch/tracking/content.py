"""Computes what MLflow should hold of a search and of each of its trials. Nothing here speaks to MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple

from raysearch.files.digest import content_digest
from raysearch.files.secrets import masked
from raysearch.front.document import SearchDocument
from raysearch.front.front import hypervolume_history
from raysearch.front.objective import COSTS, header, interval, value
from raysearch.front.table import markdown_table, shared_text
from raysearch.front.trials import SharedTraining, TrialRecord
from raysearch.tracking import tags
from raysearch.tracking.state import SearchState

STUDENT_FILES = ("config.json", "model.safetensors")
"""Files of a checkpoint that are artifacts of the trial's run in `student/` once the run carries the tag `STUDENT`."""
OPTIONAL_TAGS = (tags.RUNG, tags.CAUSE, tags.CHECKPOINT)
"""Tags that a trial may lack, or lose again when it is retried."""
COST_METRICS = ("cost/macs_g", "cost/params_m", "cost/size_mb", "cost/latency_ms")
STATUS = {"complete": "FINISHED", "stopped": "KILLED", "infeasible": "KILLED", "failed": "FAILED", "running": "RUNNING"}
"""MLflow's status of a run, by the state of its trial."""

MOST_POINTS, LIVE_POINTS = 200, 32
"""The most points of a curve in MLflow, and the most that one sync shows of a trial that is still running."""
MACS_NOTE = (
    "MACs are counted on the 32 utterance lengths of SUPERB's profiler (16 kHz), convolutions, linear layers, "
    "position convolution and both attention products included, task head excluded. Errors are in percent."
)


class MetricPoint(NamedTuple):
    """One value of a metric."""

    value: float
    after_s: float
    """Seconds from the start of the run."""


MetricPoints = dict[tuple[str, int], MetricPoint]
"""The value of each metric at each step, by (metric, step)."""


def search_tags(state: SearchState) -> dict[str, str]:
    """Tags of the search's own run, the parent of its trials' runs."""
    found = {
        tags.SEARCH: state.document.name,
        tags.SPEC_HASH: state.spec_hash,
        tags.OBJECTIVES: ",".join(state.document.objectives),
        tags.FOLDER: str(state.folder),
        tags.SEED: str(state.seed),
        tags.VERSIONS: json.dumps(dict(state.versions), sort_keys=True),
        tags.NOTE: _clipped(f"{markdown_table(state.document)}\n\n{MACS_NOTE}"),
    }
    if learned := state.spec.get("search", {}).get("learn_from"):
        found[tags.LEARNED] = _clipped(", ".join(map(masked, learned)))
    if state.token:
        found[tags.TOKEN] = state.token
    commit = state.git_commit
    return found | ({tags.GIT_SHA: commit, tags.COMMIT: commit} if commit else {})


def dataset(state: SearchState) -> dict[str, str]:
    """The corpus, as the fields of an MLflow dataset. Its digest changes with the corpus's settings, not its files."""
    source = json.dumps(state.spec["corpus"], sort_keys=True, default=str)
    digest = content_digest(source)
    return {"name": state.spec["corpus"]["kind"], "digest": digest, "source_type": "raysearch", "source": source}


def search_points(document: SearchDocument) -> MetricPoints:
    """Hypervolume and front size after each trial that ended. The step is the count of ended trials."""
    history = hypervolume_history(document.trials, document.objectives, document.reference_point)
    start_s, ends_s = start(document) or 0.0, sorted(trial.ended_s or 0.0 for trial in ended(document))
    points: MetricPoints = {}
    for progress, end_s in zip(history, ends_s, strict=True):
        after_s = max(end_s - start_s, 0.0)
        points["search/hypervolume", progress.ended] = MetricPoint(progress.hypervolume, after_s)
        points["search/front_size", progress.ended] = MetricPoint(progress.front_size, after_s)
    return points


def search_digest(document: SearchDocument) -> str:
    """Digest of the ended trials: it changes when a trial ends, but not while trials run."""
    return content_digest(document.model_copy(update={"trials": ended(document)}).model_dump_json())


def ended(document: SearchDocument) -> list[TrialRecord]:
    """The trials that do not run any more, whatever became of them."""
    return [trial for trial in document.trials if trial.state != "running"]


def start(document: SearchDocument) -> float | None:
    """Unix time in seconds at which the first trial started."""
    return min((trial.started_s for trial in document.trials if trial.started_s is not None), default=None)


def end(document: SearchDocument) -> float | None:
    """Unix time in seconds at which the last trial ended."""
    return max((trial.ended_s for trial in document.trials if trial.ended_s is not None), default=None)


def search_run_status(state: SearchState) -> str:
    """MLflow's status of the search's own run."""
    abandoned = {"": "RUNNING", "interrupted": "KILLED", "failed": "FAILED"}
    return "FINISHED" if state.finished else abandoned[state.abandoned]


def trial_run_status(state: SearchState, record: TrialRecord) -> str:
    """MLflow's status of a trial's run. A trial whose driver is gone does not run, until it is taken up again."""
    return "KILLED" if record.state == "running" and state.abandoned else STATUS[record.state]


def trial_tags(document: SearchDocument, record: TrialRecord, parent_id: str) -> dict[str, str]:
    """Tags of a trial's run; `parent_id` is the id of the search's own run."""
    found = _identity(document, record) | {
        tags.PARENT: parent_id,
        tags.STATE: record.state,
        tags.NOTE: _trial_note(document, record),
    }
    optional = zip(OPTIONAL_TAGS, (record.rung, record.cause, record.checkpoint), strict=True)
    return found | {key: str(kept) for key, kept in optional if kept is not None}


def candidate_tags(document: SearchDocument, record: TrialRecord) -> dict[str, str]:
    """Tags of a front member's logged model. It is external: MLflow holds no file of it that it could load."""
    return _identity(document, record) | {tags.EXTERNAL: "true"}


def _identity(document: SearchDocument, record: TrialRecord) -> dict[str, str]:
    """Which trial it is, and whether it is on the front now."""
    return {
        tags.SEARCH: document.name,
        tags.TRIAL: str(record.number),
        tags.METHOD: record.method,
        tags.PARETO: str(record.number in document.front).lower(),
    }


def trial_params(record: TrialRecord) -> dict[str, str]:
    """The trial's configuration as MLflow params, which are texts."""
    return {
        key: setting if isinstance(setting, str) else json.dumps(setting, default=str)
        for key, setting in record.config.items()
    }


def trial_digest(record: TrialRecord) -> str:
    """Digest of all that is known of a trial but its curve."""
    return content_digest(record.model_dump_json())


def trial_points(record: TrialRecord, curve: Sequence[Mapping[str, Any]], kept: set[tuple[str, int]]) -> MetricPoints:
    """The trial's curves, thinned, and its last metrics at the step of its last rung.

    `kept` holds the (metric, step) pairs that MLflow has already. They are not sent again, since a curve only grows;
    but the metrics of a rung are, since they may have been measured anew.
    """
    running = record.state == "running"
    points: MetricPoints = {
        (key, 0): MetricPoint(cost, 0)
        for key, cost in zip(COST_METRICS, map(record.cost.of, COSTS), strict=True)
        # A search that asks for neither size nor latency knows neither.
        if key in COST_METRICS[:2] or isfinite(cost)
    }
    points |= _curve_points(curve, kept, running)
    last_step, last_s = _last(curve)
    if record.rung is not None or not running:
        step = last_step if record.rung is None else record.rung
        points |= {(key, step): MetricPoint(number, last_s) for key, number in record.metrics.items()}
    return points


def shared_tags(document: SearchDocument, shared: SharedTraining, parent_id: str) -> dict[str, str]:
    """Tags of the run of a training that trials share; `parent_id` is the id of the search's own run."""
    return {
        tags.SEARCH: document.name,
        tags.SHARED: shared.digest,
        tags.METHOD: shared.method,
        tags.PARENT: parent_id,
        tags.NOTE: f"{shared_text(shared)}, done once before the trials",
    }


def shared_points(shared: SharedTraining, curve: Sequence[Mapping[str, Any]]) -> MetricPoints:
    """The curve of a training that trials share, thinned, and what it took at its last step."""
    last_step, last_s = _last(curve)
    took = {"cost/seconds": shared.seconds, "cost/cpu_seconds": shared.cpu_seconds}
    points = {(key, last_step): MetricPoint(number, last_s) for key, number in took.items() if isfinite(number)}
    return _curve_points(curve, set(), running=False) | points


def shared_digest(shared: SharedTraining) -> str:
    """Digest of all that is known of a training that trials share but its curve."""
    return content_digest(shared.model_dump_json())


def _curve_points(curve: Sequence[Mapping[str, Any]], kept: set[tuple[str, int]], running: bool) -> MetricPoints:
    """Points of a curve, thinned, without those that are kept already."""
    series: dict[str, dict[int, MetricPoint]] = {}
    for line in curve:
        for key, number in line["metrics"].items():
            # A training that resumed from a checkpoint repeats steps. The later line counts.
            series.setdefault(key, {})[int(line["step"])] = MetricPoint(float(number), float(line["seconds"]))
    points: MetricPoints = {}
    for key, line_at in series.items():
        had = {step for name, step in kept if name == key}
        points |= {(key, step): line_at[step] for step in thin(sorted(line_at), had, running) - had}
    return points


def _last(curve: Sequence[Mapping[str, Any]]) -> tuple[int, float]:
    """The last step of a curve, and its seconds."""
    return max(((int(line["step"]), float(line["seconds"])) for line in curve), default=(0, 0.0))


def thin(steps: Sequence[int], kept: set[int], running: bool) -> set[int]:
    """Chooses evenly spaced steps of a curve: together with those that are kept at most `MOST_POINTS`.

    The last step is chosen only when the trial has ended. Strides are powers of two, so the steps of a long stride are
    among those of every shorter one. A running trial shows few points: together with those that were shown earlier
    they stay below the limit up to 32,000 lines.
    """
    most = MOST_POINTS - 1 if running else MOST_POINTS
    last = set() if running else {steps[-1]}
    stride = 1
    while stride < len(steps) and (
        (running and len(steps[::stride]) > LIVE_POINTS) or len(kept | last | set(steps[::stride])) > most
    ):
        stride *= 2
    return last if stride >= len(steps) > 1 else last | set(steps[::stride])


def _trial_note(document: SearchDocument, record: TrialRecord) -> str:
    """What MLflow shows as the description of a trial's run."""
    cost = record.cost.text if record.cost.known else "no cost"
    lines = [f"{record.method}, {record.state}: {cost}"]
    for objective in document.objectives:
        # NaN, an error that was not measured, does not equal itself.
        if (error := value(record, objective)) == error and objective not in COSTS:
            low, high = interval(record, objective)
            lines.append(f"{header(objective)} {error:.2f} ({low:.2f} - {high:.2f})")
    if record.error:
        lines.append(f"{record.cause or 'error'}: {record.error}")
    return _clipped("\n\n".join(lines))


def _clipped(text: str) -> str:
    """Cuts a text to the 8,000 characters that MLflow allows in a tag."""
    return text if len(text) <= 7900 else f"{text[:7900]}\n..."
