"""One lane: a Tune actor that is reused and owns one long-lived TorchTrainer; a mailbox carries orders and reports.

The lane's actor and its workers' controller load this file and pay for its imports: none of the searcher's, and of the
training room only a name.
"""

from __future__ import annotations

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

from raysearch.errors import WorkError
from raysearch.lanes.mailbox import GO, STOP, Mailbox

POLL_S = 2.0
"""How often a lane that waits for a report looks whether its workers still live."""


@dataclass(frozen=True)
class LaneSetup:
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


def train_on_workers(function: Callable[[dict[str, Any]], None], config: dict[str, Any], setup: LaneSetup) -> None:
    """Run a function on the Ray Train workers of one lane, until it returns.

    Raises: WorkError with the last words of a worker that died or raised.
    """
    trainer = TorchTrainer(
        function,
        train_loop_config=config,
        scaling_config=ScalingConfig(
            num_workers=setup.num_workers, use_gpu=setup.use_gpu, resources_per_worker={"CPU": setup.cpus}
        ),
        run_config=RunConfig(storage_path=setup.ray_storage, name=f"workers-{os.urandom(4).hex()}"),
    )
    try:
        trainer.fit()
    except TrainingFailedError as err:
        raise WorkError(f"workers: {str(err).strip().splitlines()[-1]}") from err


class Lane(tune.Trainable):  # type: ignore[misc]
    """One lane, as Tune sees it: `reset_config` gives it the next trial."""

    def setup(self, config: dict[str, Any], setup: LaneSetup) -> None:
        self._mailbox: Any = ray.remote(num_cpus=0)(Mailbox).remote()
        self._waiting = False
        self._ended: BaseException | str | None = None
        self._workers = threading.Thread(target=self._keep_workers, args=(setup,), daemon=True)
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
            self._request(GO)
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
        self._request(config["suggestion"])

    def _send(self, message: Any) -> None:
        # Not waited for: a mailbox that is gone shows when the answer is.
        self._mailbox.put.remote("down", message)

    def _request(self, message: Any) -> None:
        """What the workers answer with a report."""
        self._send(message)
        # Asked for before Tune wants it: the report of a short trial is here by then.
        self._answer = self._mailbox.get.remote("up")

    def _receive(self) -> dict[str, Any]:
        deadline_s = time.monotonic() + self._patience_s
        while time.monotonic() < deadline_s:
            ready, _ = ray.wait([self._answer], timeout=POLL_S)
            if ready:
                report: dict[str, Any] = ray.get(self._answer)
                return report
            if self._ended is not None:
                raise RuntimeError(f"the lane's workers ended: {self._ended}")
        # Tune replaces a lane that raises, and its workers with it.
        raise RuntimeError(f"no report for {self._patience_s:.0f} s: the lane's workers hang")

    def _keep_workers(self, setup: LaneSetup) -> None:
        try:
            train_on_workers(_serve_lane, {"mailbox": self._mailbox, "setup": asdict(setup)}, setup)
            self._ended = "without a word"
        except BaseException as err:  # whatever it was, the trial must hear that its workers are gone
            self._ended = err


def _serve_lane(config: dict[str, Any]) -> None:
    # Only the workers need what this loads: seconds and half a gigabyte.
    from raysearch.lanes.worker import serve_lane

    serve_lane(config)
