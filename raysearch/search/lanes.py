"""Lanes: warm groups of Ray Train workers that run trial after trial. Ray Tune is met in this file and nowhere else.

A lane is a Tune actor that is reused and owns one long-lived TorchTrainer; a mailbox carries orders and reports. Ray's
own pattern, a TorchTrainer inside each trial, pays process start, imports, corpus and teacher again for every trial.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.train import RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher as TuneSearcher

from raysearch.errors import WorkError
from raysearch.search.searcher import Searcher, Suggestion
from raysearch.spec import WorkerSettings
from raysearch.training.worker import GO, STOP, work

POLL_S = 2.0
"""How often a lane that waits for a report looks whether its workers still live."""
PATIENCE = 10
"""A worker that reports nothing for so many times the longest time seen between two reports hangs."""
# Lanes only pass messages: they live beside the driver and take no CPU from the workers.
LANE_RESOURCES = [{"node:__internal_head__": 0.001}]


@dataclass(frozen=True)
class LanePlan:
    """What every lane of a search is made of."""

    spec: str
    """The resolved search document, as YAML."""
    folder: str
    """The search's folder."""
    store: str
    """Folder of teachers and label sets, shared by all searches."""
    teacher: str
    """The teacher's folder."""
    num_workers: int
    cpus: int
    use_gpu: bool
    precision: str
    uri: str = ""
    """Where searches and store really lie, if their folders are this node's copies."""
    patience_s: float = 1800.0
    """Seconds without a report before a worker may count as hung: start-up and a first label set take their time."""

    @property
    def ray_storage(self) -> str:
        """Where Ray keeps its own records, which nothing here ever reads."""
        return f"{self.uri}/{Path(self.folder).name}/.ray" if self.uri else str(Path(self.folder) / ".ray")


def uses_gpu(workers: WorkerSettings) -> bool:
    """Whether each worker gets a GPU; with `auto`, if the cluster has one for each."""
    if workers.use_gpu != "auto":
        return workers.use_gpu
    return ray.cluster_resources().get("GPU", 0) >= workers.lanes * workers.num_workers


def train_on_workers(function: Callable[[dict[str, Any]], None], config: dict[str, Any], plan: LanePlan) -> None:
    """Run a function on the Ray Train workers of one lane, until it returns.

    Raises: WorkError with the last words of a worker that died or raised.
    """
    trainer = TorchTrainer(
        function,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=plan.num_workers, use_gpu=plan.use_gpu, resources_per_worker={"CPU": plan.cpus}
        ),
        run_config=RunConfig(storage_path=plan.ray_storage, name=f"workers-{os.urandom(4).hex()}"),
    )
    try:
        trainer.fit()
    except TrainingFailedError as err:
        raise WorkError(f"workers: {str(err).strip().splitlines()[-1]}") from err


class Mailbox:
    """Orders down to the workers, reports up to the lane."""

    def __init__(self) -> None:
        self._boxes = {"down": asyncio.Queue(), "up": asyncio.Queue()}  # type: dict[str, asyncio.Queue[Any]]

    async def put(self, way: str, message: Any) -> None:
        await self._boxes[way].put(message)

    async def get(self, way: str) -> Any:
        return await self._boxes[way].get()


class Lane(tune.Trainable):  # type: ignore[misc]
    """One lane, as Tune sees it: `reset_config` gives it the next trial."""

    def setup(self, config: dict[str, Any]) -> None:
        self._mailbox: Any = ray.remote(num_cpus=0)(Mailbox).remote()
        self._waiting = False
        self._ended: BaseException | str | None = None
        plan = LanePlan(**config["plan"])
        self._workers = threading.Thread(target=self._keep_workers, args=(plan,), daemon=True)
        self._workers.start()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._waiting:
            self._send(STOP)
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """The next report of the current trial."""
        if self._waiting:
            self._send(GO)
        report = self._receive()
        done = bool(report.get("final") or report.get("cause"))
        self._waiting = not done
        return {"number": self._number, "report": report, "done": done}

    def cleanup(self) -> None:
        if self._waiting:
            self._send(STOP)
        self._send(None)
        self._workers.join(timeout=10)
        ray.kill(self._mailbox)

    # Trials keep their own checkpoints in the search's folder: a lane itself has no state worth saving.
    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        return

    def _begin(self, config: dict[str, Any]) -> None:
        self._patience_s = config["patience_s"]
        self._number = config["suggestion"]["number"]
        self._waiting = False
        self._send(config["suggestion"])

    def _send(self, message: Any) -> None:
        ray.get(self._mailbox.put.remote("down", message))

    def _receive(self) -> dict[str, Any]:
        answer = self._mailbox.get.remote("up")
        deadline_s = time.monotonic() + self._patience_s
        while time.monotonic() < deadline_s:
            ready, _ = ray.wait([answer], timeout=POLL_S)
            if ready:
                report: dict[str, Any] = ray.get(answer)
                return report
            if self._ended is not None:
                raise RuntimeError(f"the lane's workers ended: {self._ended}")
        # Tune replaces a lane that raises, and its workers with it.
        raise RuntimeError(f"no report for {self._patience_s:.0f} s: the lane's workers hang")

    def _keep_workers(self, plan: LanePlan) -> None:
        try:
            train_on_workers(work, {"mailbox": self._mailbox, "plan": asdict(plan)}, plan)
            self._ended = "without a word"
        except BaseException as err:  # whatever it was, the trial must hear that its workers are gone
            self._ended = err


class _TuneSearcher(TuneSearcher):  # type: ignore[misc]
    """Tune's questions, put to our searcher."""

    def __init__(self, run: _Run) -> None:
        super().__init__(metric="number", mode="min")
        self._run = run

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        return self._run.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        self._run.end(trial_id, result, error)

    def save(self, checkpoint_path: str) -> None:
        return

    def restore(self, checkpoint_path: str) -> None:
        return


class _TuneScheduler(FIFOScheduler):  # type: ignore[misc]
    def __init__(self, run: _Run) -> None:
        super().__init__()
        self._run = run

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        goes_on = self._run.observe(result)
        decision: str = TrialScheduler.CONTINUE if goes_on else TrialScheduler.STOP
        return decision


class _Run:
    """Joins Tune's trial ids with the study's numbers while a search runs."""

    def __init__(self, searcher: Searcher, plan: LanePlan, heard: Callable[[str, int], None]) -> None:
        self._searcher = searcher
        self._plan = asdict(plan)
        self._heard = heard
        self._running: dict[str, Suggestion] = {}
        self._spoke_s: dict[int, float] = {}
        self._longest_s = 0.0

    def __reduce__(self) -> tuple[type[object], tuple[()]]:
        # Tune pickles its searcher to be restored from: we resume from the study, which has nothing to do with it.
        return object, ()

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        suggestion = self._searcher.suggest()
        if suggestion is None:
            # A running trial may still be lost and come back: the end is only the end when none runs.
            return None if self._running else TuneSearcher.FINISHED
        self._running[trial_id] = suggestion
        self._spoke_s[suggestion.number] = time.monotonic()
        self._heard("start", suggestion.number)
        patience_s = max(self._plan["patience_s"], PATIENCE * self._longest_s)
        return {"suggestion": asdict(suggestion), "plan": self._plan, "patience_s": patience_s}

    def observe(self, result: dict[str, Any]) -> bool:
        number, report = result["number"], _unflatten(result)
        now_s = time.monotonic()
        self._longest_s = max(self._longest_s, now_s - self._spoke_s[number])
        self._spoke_s[number] = now_s
        goes_on = self._searcher.observe(number, report["step"], report["metrics"])
        self._heard("rung" if goes_on else "stop", number)
        return goes_on

    def end(self, trial_id: str, result: dict[str, Any] | None, error: bool) -> None:
        suggestion = self._running.pop(trial_id, None)
        if suggestion is None:
            return
        number = suggestion.number
        report = _unflatten(result) if result else {}
        if error:
            self._searcher.fail(number, "lost", "its workers were lost too often")
        elif report.get("cause"):
            self._searcher.fail(number, report["cause"], report["error"])
        elif report.get("final"):
            self._searcher.complete(number, report["step"], report["metrics"])
        self._heard("end", number)


def _unflatten(result: dict[str, Any]) -> dict[str, Any]:
    """The report in a Tune result: Tune joins nested keys by slashes, and our metric names hold slashes too."""
    if "report" in result:
        found: dict[str, Any] = result["report"]
        return found
    report: dict[str, Any] = {"metrics": {}}
    for key, value in result.items():
        if key.startswith("report/metrics/"):
            report["metrics"][key.removeprefix("report/metrics/")] = value
        elif key.startswith("report/"):
            report[key.removeprefix("report/")] = value
    return report


def run_lanes(searcher: Searcher, plan: LanePlan, lanes: int, heard: Callable[[str, int], None]) -> None:
    """Run trials until the searcher has no more. `heard(event, number)` after each start, rung, stop and end."""
    run = _Run(searcher, plan, heard)
    tuner = tune.Tuner(
        tune.with_resources(Lane, tune.PlacementGroupFactory(LANE_RESOURCES)),
        tune_config=tune.TuneConfig(
            search_alg=_TuneSearcher(run),
            scheduler=_TuneScheduler(run),
            num_samples=-1,
            max_concurrent_trials=lanes,
            reuse_actors=True,
            trial_dirname_creator=lambda trial: trial.trial_id,
        ),
        run_config=tune.RunConfig(storage_path=plan.ray_storage, name=f"lanes-{os.urandom(4).hex()}", verbose=0),
    )
    # Lost lanes are retried by the searcher; Tune's summary of them would only alarm.
    # It prints to stdout whatever its verbosity, and stdout is for data.
    with contextlib.suppress(tune.error.TuneError), contextlib.redirect_stdout(io.StringIO()):
        tuner.fit()
