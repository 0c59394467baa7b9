"""One lane: a reused Ray Tune actor that owns one long-lived TorchTrainer, and gives its workers trial after trial.

Orders to the workers and their reports go through a mailbox. Two processes besides the driver load this file: the
lane's actor, and the controller of its workers. They wait for its imports, so it imports neither the searcher nor
anything that trains, and torch only where several workers train together.
"""

from __future__ import annotations

import math
import os
import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeVar

import ray
from ray import tune
from ray.exceptions import RayActorError, RayError, RayTaskError
from ray.train import (
    FailureConfig,
    PreemptionError,
    RunConfig,
    ScalingConfig,
    TrainingFailedError,
    WorkerGroupError,
    get_context,
)
from ray.train.v2.api.data_parallel_trainer import DataParallelTrainer

from raysearch.errors import InputError, WorkError
from raysearch.files.disk import full_disk
from raysearch.lanes.board import board_of
from raysearch.lanes.mailbox import GO, Mailbox
from raysearch.lanes.places import NAMESPACE, Places
from raysearch.lanes.source import DRAINED, NOTICE_S
from raysearch.training.monitoring.limit import DrainedError

T = TypeVar("T")
POLL_S = 2.0
"""Seconds after which a lane that waits for a report looks whether its workers still live."""

NOTICED = "RAY_TRAIN_PREEMPTION_POLL_INTERVAL_S"
"""The variable that says after how many seconds Ray Train looks again whether a machine of its workers is to go. It
takes them from the process that starts the workers."""
LEAVING_S = 10.0
"""Seconds that workers of a lane have to end in, once they have said that their machine goes."""
ENDING_S = 10.0
"""Seconds that they have once there are no more orders for them."""
IDLE_S = 20.0
"""Seconds without a trial after which a lane ends its workers."""
RUNG_IDLE_S = 60.0
"""Seconds after a report before a trial's last until it does so: whether the trial goes on is not known to it."""


@dataclass(frozen=True)
class LaneSetup:
    """What every lane of a search needs to know: the document, the folders, and what each worker gets."""

    spec: str
    """The resolved search document, as YAML."""
    folder: str
    """Folder of the search."""
    store: str
    """Folder of the store: teachers, label sets and other things that all searches share."""
    teacher: str
    """Folder of the teacher."""
    num_workers: int
    """Ray Train workers of one lane."""
    cpus: int
    """CPUs of each worker, and its threads."""
    use_gpu: bool
    """Whether each worker gets a GPU."""
    precision: str
    """`fp32`, `bf16` or `fp16`."""
    uri: str = ""
    """URI at which searches and store really lie, if their folders are copies of this node. Empty if they are not."""
    patience_s: float = 1800.0
    """Fewest seconds without a sign of life after which workers count as hung. Start-up takes time."""

    @property
    def ray_storage(self) -> str:
        """Where Ray keeps its own records. Ray demands such a place; nothing here ever reads it."""
        return f"{self.uri}/{Path(self.folder).name}/.ray" if self.uri else str(Path(self.folder) / ".ray")


def train_on_workers(function: Callable[[dict[str, Any]], None], config: dict[str, Any], setup: LaneSetup) -> None:
    """Runs a function on the Ray Train workers of one lane, until it returns.

    Raises: InputError or WorkError as a worker raised it, else WorkError with the last line of what it raised or of why
    it died, which is DrainedError if its machine was taken away.
    """
    trainer = _trainer(setup.num_workers)(
        function,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=setup.num_workers, use_gpu=setup.use_gpu, resources_per_worker={"CPU": setup.cpus}
        ),
        run_config=RunConfig(
            storage_path=setup.ray_storage,
            name=f"workers-{os.urandom(4).hex()}",
            # Workers that Ray Train started anew would wait for an order that the old ones have taken.
            failure_config=FailureConfig(max_failures=0, max_preemption_failures=0),
        ),
    )
    os.environ.setdefault(NOTICED, str(NOTICE_S))
    try:
        trainer.fit()
    except TrainingFailedError as err:
        raise told(err) from err


def _trainer(num_workers: int) -> type[DataParallelTrainer]:
    """A worker that trains alone needs no group of processes, for which torch listens on all interfaces."""
    if num_workers == 1:
        return DataParallelTrainer
    from ray.train.torch import TorchTrainer

    trainer: type[DataParallelTrainer] = TorchTrainer
    return trainer


def run_alone(function: Callable[[dict[str, Any]], T], config: dict[str, Any], setup: LaneSetup) -> T:
    """Runs a function in one process that has the CPUs and the GPU of a worker, and gives what it returns.

    It is a task of Ray: the workers of a lane would take four more processes with them.
    Raises: as `train_on_workers` does.
    """
    # With max_calls=1 the process ends, and gives back its memory, before the lanes begin.
    room = {"num_cpus": setup.cpus, "num_gpus": int(setup.use_gpu), "max_retries": 0, "max_calls": 1}
    try:
        returned: T = ray.get(ray.remote(**room)(function).remote(config))
        return returned
    except RayError as err:
        raise _told([err.cause] if isinstance(err, RayTaskError) else [], err) from err


def told(failure: TrainingFailedError) -> InputError | WorkError:
    """What ended the workers, as this process tells it. Ray wraps whatever a worker raised, with its traceback."""
    failures = failure.worker_failures.values() if isinstance(failure, WorkerGroupError) else ()
    # Ray keeps the error itself in a private field.
    raised = [getattr(one, "_base_exc", one) for one in failures]
    if isinstance(failure, PreemptionError) or any(isinstance(one, RayActorError) and one.preempted for one in raised):
        return DrainedError(f"workers: {_last_line(failure)}")
    return _told(raised, failure)


def _told(raised: list[BaseException], failure: Exception) -> InputError | WorkError:
    # Of several workers one may have found wrong input, and the others that it is gone.
    for kind in (InputError, WorkError):
        for one in raised:
            if isinstance(one, kind):
                return kind(str(one))
    return WorkError(f"workers: {_last_line(failure)}")


def _last_line(failure: Exception) -> str:
    return str(failure).strip().splitlines()[-1]


class _Workers:
    """The workers of a lane from their start to their end, and the mailbox through which the lane speaks with them."""

    def __init__(self, setup: LaneSetup) -> None:
        self._name = f"mailbox-{os.urandom(8).hex()}"
        named = {"num_cpus": 0, "name": self._name, "namespace": NAMESPACE}
        self._mailbox: Any = ray.remote(**named)(Mailbox).remote()
        self._places, self._placed = Places(setup.folder), False
        self.ended: BaseException | None = None
        """Why they ended."""
        self.over = False
        """Whether they were told that there are no more orders."""
        self._thread = threading.Thread(target=self._keep, args=(setup,), daemon=True)
        self._thread.start()

    def ask(self, message: Any) -> Any:
        """Sends a message, and gives Ray's reference to the report that will answer it."""
        return self._mailbox.ask.remote(message)

    @property
    def have_a_place(self) -> bool:
        """Whether the cluster had room for them. Until then they wait for a node, however long that takes."""
        self._placed = self._placed or self._places.has(self._name)
        return self._placed

    def end(self) -> None:
        if self.over:
            return
        self.over = True
        # Nobody waits for the delivery: if the mailbox is gone, so are the workers.
        self._mailbox.end.remote()
        self.join(ENDING_S)
        ray.kill(self._mailbox)

    def join(self, timeout_s: float) -> None:
        self._thread.join(timeout_s)

    def _keep(self, setup: LaneSetup) -> None:
        try:
            config = {"mailbox": self._mailbox, "mailbox_name": self._name, "setup": asdict(setup)}
            train_on_workers(_serve_lane, config, setup)
            self.ended = RuntimeError("without a word")
        # Whatever it was, the trial must hear that its workers are gone: this thread has nobody else to tell.
        except BaseException as err:
            self.ended = err


class Lane(tune.Trainable):  # type: ignore[misc]
    """One lane as Tune sees it: an actor for one trial, which `reset_config` gives the next trial when that one ends.

    Its workers wait at each report for one message: GO if the trial goes on, or else the next order. A lane that has no
    trial for a while ends its workers: on a cluster with fewer places than lanes, a trial of another lane may wait for
    their place.
    """

    _ends_s = math.inf
    _waiting = False
    """Whether the workers wait for what is said to their last report."""
    _left = False
    """Whether the workers have left their machine. Then the lane is of no use any more."""
    _rests_s = math.inf
    """When it ends its workers, if nothing comes before."""
    _waited_s = 0.0
    """Seconds before the last report in which its workers had no place on the cluster."""

    def setup(self, config: dict[str, Any], setup: LaneSetup) -> None:
        self._setup = setup
        self._board = board_of(setup.folder, setup.uri)
        self._workers = _Workers(setup)
        self._turn = threading.Lock()
        """Held by whoever starts or ends workers: the clock of an idle lane runs in a thread of its own."""
        threading.Thread(target=self._watch, daemon=True).start()
        self._begin(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._begin(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Waits for the next report of the current trial.

        Raises: RuntimeError if the lane or its workers are lost, so that Tune replaces them. If the lane knows why, the
        report before that says so, and that it `leaves`.
        """
        if self._left:
            self._workers.join(LEAVING_S)
            raise RuntimeError("the lane's workers left")
        report = self._next_report()
        self._left = bool(report.get("leaves"))
        done = bool(report.get("final") or report.get("cause")) and not self._left
        self._waiting = not done
        # A trial that is stopped after this report is not heard of again.
        self._rests_s = time.monotonic() + (IDLE_S if done else RUNG_IDLE_S)
        return {"number": self._number, "report": report, "done": done, "waited_s": self._waited_s}

    def cleanup(self) -> None:
        with self._turn:
            self._workers.end()

    # Tune asks for both of these. Trials keep their checkpoints in the search's folder, so a lane has nothing to save.
    def save_checkpoint(self, checkpoint_dir: str) -> dict[str, Any]:
        return {}

    def load_checkpoint(self, checkpoint: dict[str, Any] | None) -> None:
        return

    def _begin(self, config: dict[str, Any]) -> None:
        self._patience_s = config["patience_s"]
        self._limit_s = config["hard_limit_s"] or math.inf
        self._ends_s = time.monotonic() + self._limit_s
        self._number = config["suggestion"]["number"]
        self._waiting = False
        with self._turn:
            self._rests_s = math.inf
            if self._workers.over:
                self._workers = _Workers(self._setup)
        self._request(config["suggestion"])

    def _watch(self) -> None:
        while True:
            time.sleep(POLL_S)
            self._rest_if_idle()

    def _rest_if_idle(self) -> None:
        with self._turn:
            if time.monotonic() >= self._rests_s:
                self._workers.end()

    def _request(self, message: Any) -> None:
        """Sends a message that the workers answer with a report."""
        # The answer is fetched before Tune wants it: the report of a short trial is here by then.
        self._answer = self._workers.ask(message)

    def _next_report(self) -> dict[str, Any]:
        with self._turn:
            self._rests_s = math.inf
            over = self._workers.over
        if over:  # the driver was slow to say that the trial goes on, which it does elsewhere, from its checkpoint
            return {"cause": DRAINED, "error": "its workers ended while they waited", "metrics": {}, "leaves": True}
        if self._waiting:
            self._request(GO)
        return self._receive()

    def _receive(self) -> dict[str, Any]:
        workers, sign = self._workers, None
        began_s = heard_s = time.monotonic()
        self._waited_s = 0.0
        while True:
            ready, _ = ray.wait([self._answer], timeout=POLL_S)
            if ready:
                report: dict[str, Any] = ray.get(self._answer)
                return report
            if isinstance(workers.ended, InputError):
                # New workers would find the same input.
                return {"cause": "input", "error": str(workers.ended), "metrics": {}}
            if isinstance(workers.ended, DrainedError):
                return {"cause": DRAINED, "error": str(workers.ended), "metrics": {}, "leaves": True}
            if workers.ended is not None:
                # Ray's own records lie on the disk of the trials: if it is full, a new lane would end as this one did.
                if full := full_disk(workers.ended, f"Ray's records in {self._setup.ray_storage}"):
                    return {"cause": "disk", "error": full, "metrics": {}}
                raise RuntimeError(f"the lane's workers ended: {workers.ended}")
            if not workers.have_a_place:  # time and patience begin once they have
                heard_s = time.monotonic()
                self._waited_s, self._ends_s = heard_s - began_s, heard_s + self._limit_s
                continue
            # A slow trial says how far it is, however long it takes to its report.
            if (posted := self._board.step(f"trial {self._number}")) != sign:
                sign, heard_s = posted, time.monotonic()
            if time.monotonic() >= self._ends_s:
                late = "it took far longer than it may; its workers were ended"
                return {"cause": "timeout", "error": late, "metrics": {}, "leaves": True}
            if time.monotonic() - heard_s >= self._patience_s:
                # Tune replaces a lane that raises, and its workers with it.
                raise RuntimeError(f"no sign of life for {self._patience_s:.0f} s: the lane's workers hang")


def _serve_lane(config: dict[str, Any]) -> None:
    if get_context().get_world_rank() == 0:
        Places(config["setup"]["folder"]).keep(config["mailbox_name"])
    # Importing this takes seconds and half a gigabyte, and only the workers need it.
    from raysearch.lanes.worker import serve_lane

    serve_lane(config)
