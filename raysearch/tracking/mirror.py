"""Fills MLflow with what it lacks of a search. The study stays the truth: a lost server is filled again from it.

Each sync reads which runs there are, and writes what they lack. So a second sync of the same state writes nothing, and
a sync that was cut off at any request is completed by the next one. All calls name their run and their server: MLflow's
current run and global tracking URI belong to whoever else uses MLflow in this process.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from itertools import islice, zip_longest
from math import isfinite, isnan
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Lock
from typing import Any, TypeVar

import yaml
from mlflow.entities import Dataset, DatasetInput, InputTag, Metric, Param, RunTag

from raysearch.errors import counted
from raysearch.front.plots import draw_html, draw_png
from raysearch.front.pruned_layers import LAYERS_LEFT_FILE, draw_pruned_layers
from raysearch.front.settings_page import draw_settings
from raysearch.front.trials import SharedTraining, TrialRecord
from raysearch.tracking import content
from raysearch.tracking.candidates import Candidates, Written
from raysearch.tracking.content import MetricPoints
from raysearch.tracking.database import open_client
from raysearch.tracking.experiment import open_experiment
from raysearch.tracking.state import SearchState
from raysearch.tracking.tags import MIRRORED, PARENT, SHARED, SPEC_HASH, STUDENT, TOKEN, TRIAL

METRICS, PARAMS = 800, 100
"""The most metrics and params in one `log_batch`. The server takes 1,000 entities, of which 100 params and 100 tags."""
THREADS = 4
"""Requests to a server at the same time: it spends most of each waiting for its database. A database file gets one."""
T = TypeVar("T")


class OutOfTimeError(Exception):
    """The time limit of the caller has passed. The next sync goes on from here."""


@dataclass
class Synced:
    """Counts of what one sync wrote."""

    runs: int = 0
    metrics: int = 0
    params: int = 0
    tags: int = 0
    artifacts: int = 0
    models: int = 0

    def __str__(self) -> str:
        written = [counted(count, name.removesuffix("s")) for name, count in vars(self).items() if count]
        return f"sent to MLflow: {', '.join(written)}" if written else "MLflow has all of the search"


@dataclass
class _Run:
    """A run as it was in MLflow when the sync began."""

    id: str
    start_ms: int
    status: str = "RUNNING"
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] = field(default_factory=dict)
    metrics: frozenset[str] = frozenset()
    has_dataset: bool = False
    models: frozenset[str] = frozenset()
    """Ids of the logged models that are linked to it."""

    @classmethod
    def of(cls, run: Any) -> _Run:
        info, data, inputs = run.info, run.data, run.inputs
        has_dataset = inputs is not None and bool(inputs.dataset_inputs)
        metrics = frozenset(data.metrics)
        models = frozenset(model.model_id for model in run.outputs.model_outputs) if run.outputs else frozenset()
        return cls(info.run_id, info.start_time, info.status, data.tags, data.params, metrics, has_dataset, models)


class _TimedClient:
    """MLflow's client until time is up; from then on it refuses every request."""

    def __init__(self, client: Any, expired: Callable[[], bool]) -> None:
        self._client = client
        self._expired = expired

    def __getattr__(self, name: str) -> Any:
        if self._expired():
            raise OutOfTimeError(f"no time left to call {name}")
        return getattr(self._client, name)


class Mirror:
    """One MLflow server or database, to be filled.

    `artifact_root` is the folder or URI below which a new experiment keeps its artifacts. None leaves that to the
    server. A database without a server needs it, since MLflow would use the working directory.
    """

    def __init__(self, tracking_uri: str, artifact_root: str | None = None, client: Any = None) -> None:
        self.tracking_uri = tracking_uri
        self.artifact_root = artifact_root
        self._given = client
        self._written: dict[str, Written] = {}

    @cached_property
    def _client(self) -> Any:
        # When a run ends, MLflow prints its address to stdout, which belongs to what verbs print.
        os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
        return self._given or open_client(self.tracking_uri)

    def sync(self, state: SearchState, expired: Callable[[], bool] = lambda: False) -> Synced:
        """Writes what MLflow lacks of this state.

        Raises: MlflowException or OSError if the server fails; OutOfTimeError at the first request after `expired()`.
        """
        threads = THREADS if self.tracking_uri.startswith("http") else 1
        return _Sync(_TimedClient(self._client, expired), state, self._written).run(self.artifact_root, threads)


class _Sync:
    """One sync of one state. Its threads share the counts, each works on runs of its own."""

    def __init__(self, client: Any, state: SearchState, written: dict[str, Written]) -> None:
        self.client = client
        self.state = state
        self.document = state.document
        self.written = written
        """Points that MLflow is known to have, by run id. A process that follows a search asks for them once."""
        self.dataset = DatasetInput(Dataset(**content.dataset(state)), [InputTag("mlflow.data.context", "search")])
        self.synced = Synced()
        self.counting = Lock()

    def run(self, artifact_root: str | None, threads: int) -> Synced:
        experiment_id = open_experiment(self.client, self.document.name, artifact_root)
        found, trials, shared = self._without_twins(self._runs(experiment_id))
        tags = content.search_tags(self.state)
        parent = found or self._create(experiment_id, self.document.name, tags, content.start(self.document))
        # This comes first, and alone: if two runs bring a new dataset at once, the server refuses one of them.
        self._log_dataset(parent)
        for training in self.document.shared:
            self._sync_shared(experiment_id, parent.id, shared.get(training.digest), training)
        candidates = Candidates(self.client, experiment_id, self.document)

        def sync_trial(record: TrialRecord) -> None:
            run = self._sync_trial(experiment_id, parent.id, trials.get(str(record.number)), record)
            self._count(**candidates.sync(run.id, run.models, record, lambda: self._known_points(run)))

        with ThreadPoolExecutor(threads) as pool:
            # At the first failure `map` drops the trials that have not begun.
            for _ in pool.map(sync_trial, self.document.trials):
                pass
        self._sync_search(parent)
        return self.synced

    def _runs(self, experiment_id: str) -> list[_Run]:
        """All runs of the experiment, oldest first."""
        runs: list[_Run] = []
        token: str | None = None
        while True:
            page = self.client.search_runs([experiment_id], max_results=1000, page_token=token)
            runs += [_Run.of(run) for run in page]
            if not (token := page.token):
                return sorted(runs, key=lambda run: (run.start_ms, run.id))

    def _without_twins(self, runs: list[_Run]) -> tuple[_Run | None, dict[str, _Run], dict[str, _Run]]:
        """The runs of this search: its own, those of its trials by number, and those of trainings that they share.

        Where the server answered too late to a creation, the run was created twice. The later one is deleted.
        """
        same = [r for r in runs if PARENT not in r.tags and r.tags.get(SPEC_HASH) == self.state.spec_hash]
        # Two searches may have one name and one document. Earlier versions wrote no token, so such a run may be ours.
        mine = [r for r in same if r.tags.get(TOKEN, "") == self.state.token]
        parents = mine or [r for r in same if TOKEN not in r.tags]
        kept = parents[0] if parents else None
        surplus = parents[1:]
        below: dict[str, dict[str, _Run]] = {TRIAL: {}, SHARED: {}}
        for run in runs:
            if any(run.tags.get(PARENT) == twin.id for twin in parents[1:]):
                surplus.append(run)
            elif kept is not None and run.tags.get(PARENT) == kept.id:
                for tag in below.keys() & run.tags.keys():
                    if below[tag].setdefault(run.tags[tag], run) is not run:
                        surplus.append(run)
        for run in surplus:
            self.client.delete_run(run.id)
        return kept, below[TRIAL], below[SHARED]

    def _create(self, experiment_id: str, name: str, tags: dict[str, str], start_s: float | None) -> _Run:
        start_ms = round((time.time() if start_s is None else start_s) * 1000)
        run = self.client.create_run(experiment_id, start_time=start_ms, tags=tags, run_name=name)
        self._count(runs=1)
        return _Run.of(run)

    def _sync_shared(self, experiment_id: str, parent_id: str, run: _Run | None, training: SharedTraining) -> None:
        """Writes the curve of a training that trials share, which is over. It is dated before the first trial."""
        tags = content.shared_tags(self.document, training, parent_id)
        start_s, took_s = content.start(self.document), training.seconds if isfinite(training.seconds) else 0.0
        if run is None:
            began_s = None if start_s is None else start_s - took_s
            run = self._create(experiment_id, f"{training.method}-shared", tags, began_s)
        digest = content.shared_digest(training)
        if run.tags.get(MIRRORED) != digest:
            self._log_dataset(run)
            self._set_status(run, "FINISHED", run.start_ms / 1000 + took_s)
            points = content.shared_points(training, self.state.shared_curves(training.digest))
            self._write(run, {**tags, MIRRORED: digest}, points=points)

    def _sync_trial(self, experiment_id: str, parent_id: str, run: _Run | None, record: TrialRecord) -> _Run:
        """Writes what a trial's run lacks, and creates the run if there is none."""
        tags = content.trial_tags(self.document, record, parent_id)
        if run is None:
            run = self._create(experiment_id, f"trial-{record.number:04d}", tags, record.started_s)
        for key in content.OPTIONAL_TAGS:
            if key in run.tags and key not in tags:
                self.client.delete_tag(run.id, key)
        if record.number in self.document.front:
            self._upload_student(run, record)
        digest = content.trial_digest(record)
        # The run lacks nothing of the trial; only its tags may change, since a later trial may put it off the front.
        if run.tags.get(MIRRORED) == digest:
            self._write(run, tags)
            return run
        self._log_dataset(run)
        kept = {(key, step) for key, step, _ in self._known_points(run)}
        points = content.trial_points(record, self.state.curves(record.number), kept)
        self._set_status(run, content.trial_run_status(self.state, record), record.ended_s)
        if record.state != "running":
            self._upload_pruned_layers(run, record)
            self._upload_pictures(run, record)
            tags[MIRRORED] = digest
        self._write(run, tags, content.trial_params(record), points)
        return run

    def _upload_student(self, run: _Run, record: TrialRecord) -> None:
        """Uploads the student of a front member, so that it can be registered from MLflow alone."""
        if record.checkpoint is None or run.tags.get(STUDENT) == record.checkpoint:
            return
        files = [self.state.folder / record.checkpoint / name for name in content.STUDENT_FILES]
        if not all(file.exists() for file in files):
            return
        for file in files:
            self.client.log_artifact(run.id, str(file), "student")
            self._count(artifacts=1)
        self._write(run, {STUDENT: record.checkpoint})

    def _upload_pruned_layers(self, run: _Run, record: TrialRecord) -> None:
        """Uploads a picture of what pruning left of each layer, if the student was pruned."""
        if record.checkpoint is None:
            return
        trial_folder = (self.state.folder / record.checkpoint).parent
        if not (trial_folder / LAYERS_LEFT_FILE).exists():
            return
        with TemporaryDirectory() as name:
            draw_pruned_layers(trial_folder, Path(name) / "left.png")
            self.client.log_artifact(run.id, str(Path(name) / "left.png"))
        self._count(artifacts=1)

    def _log_dataset(self, run: _Run) -> None:
        if not run.has_dataset:
            self.client.log_inputs(run.id, [self.dataset])

    def _upload_pictures(self, run: _Run, record: TrialRecord) -> None:
        """Uploads what tasks drew of an ended trial's errors, such as a detection error trade-off (DET) plot."""
        if record.checkpoint is None:
            return
        for picture in sorted((self.state.folder / record.checkpoint).parent.glob("*.png")):
            self.client.log_artifact(run.id, str(picture))
            self._count(artifacts=1)

    def _sync_search(self, parent: _Run) -> None:
        """Writes what the search's own run lacks: tags, the curve of the hypervolume, files of the front."""
        self._write(parent, content.search_tags(self.state), points=content.search_points(self.document))
        digest = content.search_digest(self.document)
        if parent.tags.get(MIRRORED) != digest:
            self._upload_front(parent)
            self._write(parent, {MIRRORED: digest})
        ended = content.search_run_status(self.state)
        self._set_status(parent, ended, content.end(self.document))

    def _upload_front(self, parent: _Run) -> None:
        with TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "front.json").write_text(self.document.model_dump_json(indent=1))
            spec = json.loads(json.dumps(dict(self.state.spec), default=str))
            (folder / "spec.yaml").write_text(yaml.safe_dump(spec, sort_keys=False))
            draw_html(self.document, folder / "front.html")
            draw_png(self.document, folder / "front.png")
            importances = {objective: dict(shares) for objective, shares in self.state.importances().items()}
            (folder / "importances.json").write_text(json.dumps(importances, indent=1))
            draw_settings(self.document, importances, folder / "settings.html")
            self.client.log_artifacts(parent.id, name)
        self._count(artifacts=6)

    def _write(
        self,
        run: _Run,
        tags: Mapping[str, str],
        params: Mapping[str, str] | None = None,
        points: MetricPoints | None = None,
    ) -> None:
        """Writes what the run lacks, in as few requests as the server allows."""
        new_tags = [RunTag(key, text) for key, text in tags.items() if run.tags.get(key) != text]
        new_params = [Param(key, text) for key, text in (params or {}).items() if key not in run.params]
        known = self._known_points(run) if points else {}
        wanted = {(key, step, _kept(point.value)): point for (key, step), point in (points or {}).items()}
        new_points = {at: point for at, point in wanted.items() if at not in known}
        if new_points:
            # If a batch fails, nobody knows which points the server has, so the next sync must ask it.
            del self.written[run.id]
        metrics = [
            Metric(key, point.value, run.start_ms + round(1000 * point.after_s), step)
            for (key, step, _), point in new_points.items()
        ]
        batches = list(zip_longest(_chunks(metrics, METRICS), _chunks(new_params, PARAMS), fillvalue=()))
        # `MIRRORED` may be among the tags, and must not be there before the rest is. So tags go with the last batch, of
        # which the server writes them last.
        for some_metrics, some_params in batches[:-1]:
            self.client.log_batch(run.id, metrics=some_metrics, params=some_params)
        if batches or new_tags:
            last_metrics, last_params = batches[-1] if batches else ((), ())
            self.client.log_batch(run.id, metrics=last_metrics, params=last_params, tags=new_tags)
        if new_points:
            self.written[run.id] = known | {(one.key, one.step, _kept(one.value)): one.timestamp for one in metrics}
        self._count(metrics=len(metrics), params=len(new_params), tags=len(new_tags))

    def _count(self, **written: int) -> None:
        with self.counting:
            for kind, more in written.items():
                setattr(self.synced, kind, getattr(self.synced, kind) + more)

    def _known_points(self, run: _Run) -> Written:
        """The points of a run that MLflow has; it is asked for them once."""
        if run.id not in self.written:
            self.written[run.id] = {
                (key, point.step, _kept(point.value)): point.timestamp
                for key in run.metrics
                for point in self.client.get_metric_history(run.id, key)
            }
        return self.written[run.id]

    def _set_status(self, run: _Run, status: str, end_s: float | None) -> None:
        if run.status == status:
            return
        if status == "RUNNING":
            self.client.update_run(run.id, status=status)
        else:
            self.client.set_terminated(run.id, status, None if end_s is None else round(end_s * 1000))


def _kept(number: float) -> float | None:
    """A value as MLflow keeps it, in a form that can be compared.

    None stands for NaN, which does not equal itself. Infinities become the largest floats, as in MLflow's database.
    """
    return None if isnan(number) else min(max(number, -sys.float_info.max), sys.float_info.max)


def _chunks(items: Iterable[T], size: int) -> Iterable[list[T]]:
    rest = iter(items)
    while chunk := list(islice(rest, size)):
        yield chunk
