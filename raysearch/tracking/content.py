"""What MLflow should hold of a search and of each trial, computed from the data alone."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from raysearch.files.digest import content_digest
from raysearch.front.document import SearchDocument
from raysearch.front.front import hypervolume_history
from raysearch.front.objective import header, interval, value
from raysearch.front.table import markdown_table
from raysearch.front.trials import TrialRecord
from raysearch.tracking.state import SearchState

NOTE, PARENT = "mlflow.note.content", "mlflow.parentRunId"
SEARCH, TRIAL, SPEC_HASH = "raysearch.search", "raysearch.trial", "raysearch.spec_hash"
MIRRORED = "raysearch.mirrored"
"""Digest of what a run was filled from: written last, so a run that carries it lacks nothing."""
STUDENT, STUDENT_FILES = "raysearch.student", ("config.json", "model.safetensors")
"""The tag says that these files of the trial's checkpoint are artifacts of its run, in `student/`."""
OPTIONAL_TAGS = ("raysearch.rung", "raysearch.cause", "raysearch.checkpoint")
STATUS = {"complete": "FINISHED", "stopped": "KILLED", "infeasible": "KILLED", "failed": "FAILED", "running": "RUNNING"}

MOST_POINTS, LIVE_POINTS = 200, 32
MACS_NOTE = (
    "MACs are counted on the 32 utterance lengths of SUPERB's profiler (16 kHz), convolutions, linear layers, "
    "position convolution and both attention products included, task head excluded. Errors are in percent."
)


class MetricPoint(NamedTuple):
    value: float
    after_s: float
    """Seconds after the run's start."""


MetricPoints = dict[tuple[str, int], MetricPoint]
"""(metric, step) -> point."""


def search_tags(state: SearchState) -> dict[str, str]:
    tags = {
        SEARCH: state.document.name,
        SPEC_HASH: state.spec_hash,
        "raysearch.objectives": ",".join(state.document.objectives),
        "raysearch.folder": str(state.folder),
        "raysearch.seed": str(state.seed),
        "raysearch.versions": json.dumps(dict(state.versions), sort_keys=True),
        NOTE: _clipped(f"{markdown_table(state.document)}\n\n{MACS_NOTE}"),
    }
    commit = state.git_commit
    return tags | ({"raysearch.git_sha": commit, "mlflow.source.git.commit": commit} if commit else {})


def dataset(state: SearchState) -> dict[str, str]:
    """The corpus, as fields of an MLflow dataset; its digest changes with its settings, not with its files."""
    source = json.dumps(state.spec["corpus"], sort_keys=True, default=str)
    digest = content_digest(source)
    return {"name": state.spec["corpus"]["kind"], "digest": digest, "source_type": "raysearch", "source": source}


def search_points(document: SearchDocument) -> MetricPoints:
    """Hypervolume and front size, one step an ended trial, each at the time its trial ended."""
    history = hypervolume_history(document.trials, document.objectives, document.reference_point)
    start_s, ends_s = start(document) or 0.0, sorted(trial.ended_s or 0.0 for trial in ended(document))
    points: MetricPoints = {}
    for progress, end_s in zip(history, ends_s, strict=True):
        after_s = max(end_s - start_s, 0.0)
        points["search/hypervolume", progress.ended] = MetricPoint(progress.hypervolume, after_s)
        points["search/front_size", progress.ended] = MetricPoint(progress.front_size, after_s)
    return points


def search_digest(document: SearchDocument) -> str:
    """Changes when a trial ends, not while it runs."""
    return content_digest(document.model_copy(update={"trials": ended(document)}).model_dump_json())


def ended(document: SearchDocument) -> list[TrialRecord]:
    return [trial for trial in document.trials if trial.state != "running"]


def start(document: SearchDocument) -> float | None:
    """Unix time in seconds at which the first trial started."""
    return min((trial.started_s for trial in document.trials if trial.started_s is not None), default=None)


def end(document: SearchDocument) -> float | None:
    """Unix time in seconds at which the last trial ended."""
    return max((trial.ended_s for trial in document.trials if trial.ended_s is not None), default=None)


def trial_tags(document: SearchDocument, record: TrialRecord, parent_id: str) -> dict[str, str]:
    tags = {
        PARENT: parent_id,
        SEARCH: document.name,
        TRIAL: str(record.number),
        "raysearch.method": record.method,
        "raysearch.state": record.state,
        "raysearch.pareto": str(record.number in document.front).lower(),
        NOTE: _trial_note(document, record),
    }
    optional = zip(OPTIONAL_TAGS, (record.rung, record.cause, record.checkpoint), strict=True)
    return tags | {key: str(kept) for key, kept in optional if kept is not None}


def trial_params(record: TrialRecord) -> dict[str, str]:
    return {
        key: setting if isinstance(setting, str) else json.dumps(setting, default=str)
        for key, setting in record.config.items()
    }


def trial_digest(record: TrialRecord) -> str:
    return content_digest(record.model_dump_json())


def trial_points(record: TrialRecord, curve: Sequence[Mapping[str, Any]], kept: set[tuple[str, int]]) -> MetricPoints:
    """The trial's curves, thinned, and its last metrics at the step of its rung.

    `kept`: the (metric, step) that MLflow has. A curve only grows; a rung's metrics may be measured anew.
    """
    running = record.state == "running"
    series: dict[str, dict[int, MetricPoint]] = {}
    for line in curve:
        for key, number in line["metrics"].items():
            # A trial that resumed from a checkpoint repeats steps: the later line counts.
            series.setdefault(key, {})[int(line["step"])] = MetricPoint(float(number), float(line["seconds"]))
    points: MetricPoints = {
        ("cost/macs_g", 0): MetricPoint(record.cost.macs_g, 0),
        ("cost/params_m", 0): MetricPoint(record.cost.params_m, 0),
    }
    for key, line_at in series.items():
        had = {step for name, step in kept if name == key}
        points |= {(key, step): line_at[step] for step in thin(sorted(line_at), had, running) - had}
    last_step, last_s = max(((int(line["step"]), float(line["seconds"])) for line in curve), default=(0, 0.0))
    if record.rung is not None or not running:
        step = last_step if record.rung is None else record.rung
        points |= {(key, step): MetricPoint(number, last_s) for key, number in record.metrics.items()}
    return points


def thin(steps: Sequence[int], kept: set[int], running: bool) -> set[int]:
    """Evenly spaced steps, at most `MOST_POINTS` with those that are kept; the last one is among them at the end.

    Strides are powers of two, so that what was chosen while a curve was short is part of any finer choice. A running
    trial shows few points: together with those shown earlier they stay below the limit up to 32,000 lines.
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
    lines = [f"{record.method}, {record.state}: {record.cost.macs_g:.4g} GMAC, {record.cost.params_m:.3g} M parameters"]
    for objective in document.objectives:
        if (error := value(record, objective)) == error and objective not in ("macs", "params"):
            low, high = interval(record, objective)
            lines.append(f"{header(objective)} {error:.2f} ({low:.2f} - {high:.2f})")
    if record.error:
        lines.append(f"{record.cause or 'error'}: {record.error}")
    return _clipped("\n\n".join(lines))


def _clipped(text: str) -> str:
    """Within MLflow's 8,000 characters a tag."""
    return text if len(text) <= 7900 else f"{text[:7900]}\n..."
