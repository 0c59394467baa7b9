"""The head with which a student begins that is trained for a task: the teacher's own, or one that is trained first.

A teacher's own head lies beside its encoder, in the form in which an export keeps both. Teachers that were trained to
read have one.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

import torch

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.teacher import Teacher
from raysearch.files.digest import content_digest
from raysearch.targets.store import FolderStore
from raysearch.tasks.head import DOCUMENT_NAME, ChosenHead, load_head
from raysearch.tasks.objective import TaughtTask
from raysearch.training.process import alone


def own_head(folder: Path, task: TaughtTask, corpus: Corpus, device: torch.device) -> ChosenHead | None:
    """The head that lies beside a teacher. None if there is none, or if it does not suit the task on this corpus.

    Raises: InputError if it is damaged.
    """
    if not (folder / DOCUMENT_NAME).exists():
        return None
    head = load_head(folder)
    # The encoder beside it is the teacher itself.
    return ChosenHead(head.config, head.module.to(device), None) if task.suits(head, corpus) else None


def trained_head(
    task: TaughtTask, teacher: Teacher, corpus: Corpus, store: FolderStore, device: torch.device, seed: int
) -> ChosenHead:
    """The head that is trained for a task on the teacher, as the task's settings say, and that the dev split chose.

    If these fine-tune the encoder, its tuned copy comes with the head. Only one of several processes trains it, once
    for all searches that ask for the same.
    """
    key = content_digest(f"{teacher.key}\n{task.settings.model_dump_json()}\n{seed}\n{corpus.fingerprint}")
    build = partial(_train, task=task, teacher=teacher, corpus=corpus, device=device, seed=seed)
    head = load_head(store.get_or_build(key, build))
    return ChosenHead(head.config, head.module.to(device), head.tuned)


def _train(folder: Path, task: TaughtTask, teacher: Teacher, corpus: Corpus, device: torch.device, seed: int) -> None:
    # The other processes wait for the store, so that they cannot take their shares of the work.
    with alone():
        found = task.evaluate(teacher.encoder.to(device), corpus, test=False, device=device, seed=seed)
    assert found.head is not None
    found.head.save(folder)
