"""The contract of a method: one published way from teacher to student. It knows nothing of searches, Ray or MLflow."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from raysearch.encoder.config import AnyConfig
from raysearch.methods.trial import S, Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report


class Method(Protocol[S]):
    """A class in a folder of this room, and a line in `METHODS`. `S` is the model of its settings.

    Stopping: the caller closes the iterator between two reports. Resuming: a new `run` with the same folder starts from
    the checkpoint there and repeats no update before it.
    """

    name: ClassVar[str]
    Settings: ClassVar[type[AnySettings]]

    @staticmethod
    def student(settings: S, teacher: AnyConfig) -> AnyConfig:
        """The student's architecture: pure and fast, so that cost is known before a trial is paid for."""

    def run(self, trial: Trial[S]) -> Iterator[Report]: ...
