"""The one table of tasks, and the flat form of their errors."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from raysearch.tasks.base import Task
from raysearch.tasks.settings import AsrSettings, PhonemesSettings

if TYPE_CHECKING:
    import torch

    from raysearch.corpora.corpus import Corpus
    from raysearch.encoder.encoder import Encoder

TASKS = {
    "asr": "raysearch.tasks.asr:Asr",
    "phonemes": "raysearch.tasks.phonemes:Phonemes",
}


def load_task(settings: AsrSettings | PhonemesSettings) -> Task:
    """The task that these settings describe; keep it between evaluations, since it keeps decoded audio."""
    module, name = TASKS[settings.kind].split(":")
    task: Task = getattr(import_module(module), name)(settings)
    return task


def evaluate_all(
    tasks: Iterable[Task], encoder: Encoder, corpus: Corpus, test: bool, device: torch.device, seed: int
) -> dict[str, float]:
    """Errors in percent: `eval/per`, `eval/per_low`, `eval/per_high`, `eval/per_lr`, ...; `test/per`, ... if asked."""
    metrics: dict[str, float] = {}
    for task in tasks:
        found = task.evaluate(encoder, corpus, test=test, device=device, seed=seed)
        metrics |= found.dev.metrics(f"eval/{task.metric}")
        metrics |= {f"eval/{task.metric}_{name}": value for name, value in found.details.items()}
        if found.test is not None:
            metrics |= found.test.metrics(f"test/{task.metric}")
    return metrics
