"""Says from a search's document which heads are trained on the teacher before the first trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raysearch.methods.pruning.settings import HJPruningSettings
from raysearch.spec.document import Spec
from raysearch.spec.space import Config
from raysearch.tasks.head import DOCUMENT_NAME
from raysearch.tasks.settings import (
    AsrSettings,
    ClassificationSettings,
    HeadSettings,
    IntentSettings,
    PhonemesSettings,
    SlotsSettings,
)
from raysearch.teachers.settings import TrainedTeacher


def wanted_head(spec: Spec, config: Config) -> HeadSettings | None:
    """The task whose head is trained on the teacher before a trial begins. None if there is no need of one.

    No corpus is read. So a teacher that learns to read here is taken to read phones, and one that is imported, or lies
    in a folder without a head, to have none.
    """
    settings = spec.settings(config)
    if not isinstance(settings, HJPruningSettings):
        return None
    unit = settings.ctc.unit
    fields = [task for task in spec.tasks if isinstance(task, ClassificationSettings | IntentSettings)]
    phones = [task for task in spec.tasks if isinstance(task, PhonemesSettings) and unit != "characters"]
    words = [task for task in spec.tasks if isinstance(task, AsrSettings) and unit != "phones"]
    slots = [task for task in spec.tasks if isinstance(task, SlotsSettings) and unit == "auto"]
    reading = sorted([*phones, *words, *slots], key=spec.tasks.index)
    task = next(iter([*fields, *reading]), None)
    return None if task is None or _has_own_head(spec, task) else task


def judging_heads(spec: Spec) -> list[Any]:
    """The tasks by which the teacher is judged with a head that is trained on it."""
    return [task for task in spec.teacher_tasks if not (isinstance(task, HeadSettings) and _has_own_head(spec, task))]


def _has_own_head(spec: Spec, task: HeadSettings) -> bool:
    """Whether the teacher was trained with a head for this task, as far as the document tells."""
    if isinstance(spec.teacher, TrainedTeacher):
        return spec.teacher.method == "ctc" and spec.teacher.corpus is None and isinstance(task, PhonemesSettings)
    return (Path(spec.teacher.source) / DOCUMENT_NAME).exists()
