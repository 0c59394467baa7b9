"""The task that a method trains a student for, and the head with which it begins."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import AnyConfig
from raysearch.tasks.ctc.recognition import CtcTask
from raysearch.tasks.ctc.tokens import Unit, is_labelled
from raysearch.tasks.fields.task import FieldTask
from raysearch.tasks.head import ChosenHead
from raysearch.tasks.learner import Learner
from raysearch.tasks.settings import AsrSettings, PhonemesSettings
from raysearch.tasks.table import load_task
from raysearch.tasks.task import Task

TaughtTask = CtcTask | FieldTask
"""A task that a method can train a student for."""


@dataclass(frozen=True)
class Objective:
    """What a student is trained for: a task, what teaches it, and a head to begin with."""

    task: str
    """Name of the task. A student that is judged on it is judged with the head that was trained with it."""
    learner: Learner
    head: ChosenHead
    """The head. If it holds an encoder too, that is the teacher, fine-tuned for the task."""

    @classmethod
    def of(cls, task: TaughtTask, corpus: Corpus, head: ChosenHead) -> Objective:
        """The task on this corpus, with a head that suits it."""
        return cls(task.name, task.learner(corpus, head), head)


def taught_task(tasks: Iterable[Task], unit: Unit | Literal["auto"], corpus: Corpus) -> TaughtTask:
    """The task that a method trains its students for.

    It is the first of `tasks` that decides fields, or else the first that reads `unit`. If none does, it is one that
    the search does not judge by: it reads the unit that was asked for, or phones if all training cuts have them.
    """
    tasks = list(tasks)
    if fields := [task for task in tasks if isinstance(task, FieldTask)]:
        return fields[0]
    if reading := [task for task in tasks if isinstance(task, CtcTask) and unit in ("auto", task.unit)]:
        return reading[0]
    if unit == "auto":
        unit = "phones" if all(is_labelled(cut, "phones") for cut in corpus.splits["train"]) else "characters"
    task = load_task(PhonemesSettings() if unit == "phones" else AsrSettings())
    assert isinstance(task, CtcTask)
    return task


def untaught(tasks: Iterable[Task], unit: Unit | Literal["auto"], corpus: Corpus, encoder: AnyConfig) -> Objective:
    """The objective with a head that has learned nothing yet, for an encoder of this shape."""
    task = taught_task(tasks, unit, corpus)
    return Objective.of(task, corpus, task.new_head(corpus, encoder))
