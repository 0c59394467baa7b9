"""A method that only sleeps and reports; a file of orders makes its first attempts break in the ways trials do."""

from __future__ import annotations

import errno
import json
import os
import signal
import time
from collections.abc import Iterator
from typing import ClassVar

from raysearch.encoder.config import EncoderConfig
from raysearch.errors import InputError
from raysearch.methods.settings import StudentSettings
from raysearch.methods.trial import Trial
from raysearch.settings import Settings
from raysearch.training.loop import DivergedError
from raysearch.training.report import Report
from raysearch.training.settings import TrainingSettings


class FakeSettings(Settings):
    student: StudentSettings = StudentSettings()
    """The student's shape."""
    training: TrainingSettings = TrainingSettings()
    """Only `batch_s` is read."""


class Fake:
    """Orders lie in `orders.json` of the search's folder: what a trial's first attempt does before its last rung."""

    name: ClassVar[str] = "fake"
    Settings: ClassVar[type[Settings]] = FakeSettings

    @staticmethod
    def student(settings: Settings, teacher: EncoderConfig) -> EncoderConfig:
        assert isinstance(settings, FakeSettings)
        return settings.student.encoder()

    def run(self, trial: Trial) -> Iterator[Report]:
        assert isinstance(trial.settings, FakeSettings)
        orders = json.loads((trial.folder.parents[1] / "orders.json").read_text())
        done = sorted(int(path.name) for path in (trial.folder / "done").glob("*"))
        (trial.folder / "done").mkdir(exist_ok=True)
        (trial.folder / "attempts").open("a").write(f"{os.getpid()} {trial.settings.training.batch_s}\n")
        first = len((trial.folder / "attempts").read_text().splitlines()) == 1
        for rung in trial.rungs:
            if done and rung < done[-1]:
                continue
            if rung not in done:
                time.sleep(orders.get("seconds", 0.0))
                if rung == trial.rungs[-1]:
                    order = orders.get(str(trial.number))
                    _obey(order if first or order == "oom always" else None)
                (trial.folder / "done" / str(rung)).touch()
            error = orders.get(f"error {trial.number}", error_of(trial.settings.student.depth))
            yield Report(rung, {"eval/per": float(error)}, final=rung == trial.rungs[-1])


class Ready(Fake):
    """Its students are whole models before they are trained."""

    name = "ready"
    rung_zero = True


class Refusing(Fake):
    """Finds while it trains that its settings are wrong."""

    name = "refusing"

    def run(self, trial: Trial) -> Iterator[Report]:
        raise InputError("training.lr: too late; expected an earlier one")


def error_of(depth: int) -> float:
    return 80.0 - 5 * depth


def _obey(order: str | None) -> None:
    if order == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if order == "hang":
        time.sleep(3600)
    if order == "nan":
        raise DivergedError("training diverged before update 10")
    if order in ("oom", "oom always"):
        raise MemoryError
    if order == "disk":
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "state.json")
    if order == "user":
        raise KeyError("no such thing")
