"""The contract of a method, which is one published way from a teacher to a student.

Methods know nothing of searches, Ray or MLflow.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Protocol

from raysearch.encoder.config import AnyConfig
from raysearch.methods.trial import S, Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report


class Method(Protocol[S]):
    """A method is a class with these four members, in a folder of this room, and a line in `METHODS`.

    `S` is the model of its settings. A method that reads more than audio has a static function `needs` too, as
    `methods/needs.py` describes it. One whose students are whole models before they are trained has an attribute
    `rung_zero`, which is true, and reports at the rung 0 if it is asked for. One whose trials share a training has an
    attribute `shared`, which names the groups of settings that decide it, and a static function `prepare(trial)`, which
    sees to it by `trial.once` that it is done.
    """

    name: ClassVar[str]
    """Name of the method in a search document."""
    Settings: ClassVar[type[AnySettings]]
    """The model of its settings, whose fields are groups such as `student` and `training`."""

    @staticmethod
    def student(settings: S, teacher: AnyConfig) -> AnyConfig:
        """The student's architecture. This is pure and fast, so that cost is known before a trial is paid for.

        Raises: InputError if the settings do not go with this teacher.
        """

    def run(self, trial: Trial[S]) -> Iterator[Report]:
        """Trains the student and reports at each rung.

        The caller stops a trial by closing the iterator between two reports. To resume it, it calls `run` again with
        the same folder: training goes on from the checkpoint there and repeats no update before that.
        """
        ...
