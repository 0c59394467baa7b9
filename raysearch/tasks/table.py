"""The table of all tasks, and the evaluation of a student on several of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.evidence.kept import FILE, Evidence, write_evidence
from raysearch.evidence.texts import FILE as TEXTS
from raysearch.evidence.texts import Texts, write_texts
from raysearch.tasks.head import head_folder
from raysearch.tasks.settings import HeadSettings
from raysearch.tasks.task import Evaluated, Judge, Task
from raysearch.training.process import rank

if TYPE_CHECKING:
    import torch

    from raysearch.corpora.corpus import Corpus
    from raysearch.encoder.encoder import Encoder
    from raysearch.tasks.learner import Learner
    from raysearch.tasks.settings import TaskSettings

Shipped = Callable[[Task, Any, Evaluated], Evaluated]
"""Function from a task, an encoder and its errors to the errors of the file that is shipped of it."""
UNSHIPPED = "_fp32"
"""Ends the names of the errors of a student whose file is judged in its place."""

TASKS = {
    "asr": "raysearch.tasks.ctc.asr:Asr",
    "phonemes": "raysearch.tasks.ctc.phonemes:Phonemes",
    "slots": "raysearch.tasks.ctc.slot_filling:SlotFilling",
    "speaker": "raysearch.tasks.speaker.task:Speaker",
    "classification": "raysearch.tasks.fields.classification:Classification",
    "intent": "raysearch.tasks.fields.intent:Intent",
}


def load_task(settings: TaskSettings) -> Task:
    """The task that these settings describe."""
    module, name = TASKS[settings.kind].split(":")
    task: Task = getattr(import_module(module), name)(settings)
    return task


def learner_of(tasks: Iterable[Task], corpus: Corpus) -> Learner | None:
    """The learner of the first task that decides fields. None if no task does."""
    from raysearch.tasks.fields.task import FieldTask

    return next((task.learner(corpus) for task in tasks if isinstance(task, FieldTask)), None)


def evaluate_all(
    tasks: Iterable[Task],
    encoder: Encoder,
    corpus: Corpus,
    test: bool,
    device: torch.device,
    seed: int,
    keep: Path | None = None,
    trained: Mapping[str, Any] | None = None,
    precision: str = "fp32",
    probed: bool = True,
    shipped: Shipped | None = None,
) -> dict[str, float]:
    """The errors of an encoder on all tasks, in percent, by their names in reports.

    An error on dev is called `eval/per`, the ends of its interval `eval/per_low` and `eval/per_high`, and its details
    for example `eval/per_lr`. With `test` there are also `test/per` and the ends of its interval.

    `keep` is the folder of a trial, which gets the head of each task, for example in `head-phonemes`, its picture, and
    one file with the errors of each cut, and one with what was read in each.
    `trained` holds heads that were trained with the encoder, by task. They are judged in place of new ones. Beside the
    error of such a head stands that of a probe, a new head on the frozen encoder, as the second figure `probe/per` with
    its interval, and with `test` as `probe/test_per`. Speaker verification has no second figure, and without `probed`
    no task has one.

    `shipped` gives the errors of the file that the encoder and a head become, in place of theirs. Theirs are then
    called `eval/per_fp32`, and kept under that name too.

    An encoder that is not trained runs in `precision`. Several processes share the work out, so all of them must call
    this. All get the same errors, and the one of rank 0 writes the files.
    """
    metrics: dict[str, float] = {}
    evidence: Evidence = {}
    texts: Texts = {}
    how: dict[str, Any] = {"test": test, "device": device, "seed": seed, "precision": precision}
    keep = keep if rank() == 0 else None
    for task in tasks:
        if trained and task.name in trained:
            assert isinstance(task, Judge)
            found = task.judge(encoder, trained[task.name], corpus, **how)
            metrics |= _probed(task, encoder, corpus, how) if probed else {}
        else:
            found = task.evaluate(encoder, corpus, **how)
        if keep is not None and found.head is not None:
            found.head.save(head_folder(keep, task.name))
        judged = [("", found)]
        if shipped is not None:
            judged = [(UNSHIPPED, found), ("", shipped(task, encoder, found))]
        for suffix, each in judged:
            for split, score in (("eval", each.dev), ("test", each.test)):
                if score is None:
                    continue
                name = f"{split}/{task.metric}"
                metrics |= score.metrics(name, suffix)
                if score.judged is not None:
                    evidence[name + suffix] = score.judged
                if score.texts is not None:
                    texts[name + suffix] = score.texts
        metrics |= {f"eval/{task.metric}_{name}": value for name, value in found.details.items()}
        if keep is not None and found.draw is not None:
            found.draw(keep / f"{task.name}.png")
    if keep is not None:
        write_evidence(keep / FILE, evidence)
        write_texts(keep / TEXTS, texts)
    return metrics


def _probed(task: Task, encoder: Encoder, corpus: Corpus, how: Mapping[str, Any]) -> dict[str, float]:
    """The errors of a new head on the frozen encoder, if the task trains such heads.

    Where the task fine-tunes, its updates and its batches are meant for that: a probe then has the default ones.
    """
    settings = getattr(task, "settings", None)
    if not isinstance(settings, HeadSettings):
        return {}
    fields = type(settings).model_fields
    own = {} if settings.mode == "probe" else {name: fields[name].default for name in ("mode", "updates", "batch_s")}
    probe: Any = settings.model_copy(update=own)
    found = load_task(probe).evaluate(encoder, corpus, **how)
    metrics = found.dev.metrics(f"probe/{task.metric}")
    return metrics | (found.test.metrics(f"probe/test_{task.metric}") if found.test else {})
