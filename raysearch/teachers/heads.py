"""The head by which a teacher is judged, and with which students begin that are trained for a task.

It is the teacher's own, or one that is trained on the teacher first. A teacher's own head lies beside its encoder, in
the form in which an export keeps both. Teachers that were trained to read have one, here or by transformers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.checkpoint import CONFIG_NAME
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.imports.model_folder import read_model
from raysearch.encoder.teacher import Teacher
from raysearch.errors import InputError
from raysearch.files.digest import content_digest
from raysearch.targets.store import FolderStore
from raysearch.tasks.ctc.recognition import CtcTask
from raysearch.tasks.ctc.tokens import BOUNDARY, OutputHead, Tokens, Unit
from raysearch.tasks.fields.task import FieldTask
from raysearch.tasks.head import DOCUMENT_NAME, ChosenHead, load_head
from raysearch.tasks.task import Judge, Task
from raysearch.teachers.loading import load_teacher, teacher_key, teacher_metrics
from raysearch.training.process import alone

VOCABULARY_NAME = "vocab.json"
ERRORS_NAME = "errors.json"
"""File beside a head that holds the errors of the teacher with it."""
MARK = re.compile(r"<.+>|\[.+\]")
"""Tokens of transformers that stand for no sound."""


def own_head(folder: Path, task: Task, corpus: Corpus, device: torch.device) -> ChosenHead | None:
    """The head that lies beside a teacher. None if there is none, or if it does not suit the task on this corpus.

    Raises: InputError if it is damaged.
    """
    if not isinstance(task, CtcTask | FieldTask) or not (folder / DOCUMENT_NAME).exists():
        return None
    head = load_head(folder)
    # The encoder beside it is the teacher itself.
    return ChosenHead(head.config, head.module.to(device), None) if task.suits(head, corpus) else None


def huggingface_head(folder: Path, encoder: AnyConfig) -> ChosenHead | None:
    """The CTC head of a model in a folder of transformers, as HubertForCTC and Wav2Vec2ForCTC have it.

    Its symbols are those of `vocab.json`. Its word boundary `|` is ours, and tokens such as `<s>`, which stand for no
    sound, are left out. None if the folder has no such head or vocabulary, or one for another encoder.
    """
    if not (folder / VOCABULARY_NAME).exists():
        return None
    _, weights = read_model(folder)
    weight_VD, bias_V = weights.get("lm_head.weight"), weights.get("lm_head.bias")
    found, document = (_mapping(folder / name) for name in (VOCABULARY_NAME, CONFIG_NAME))
    # Several vocabularies, one for each language, lie one level deeper.
    several = not all(isinstance(place, int) for place in found.values())
    if weight_VD is None or bias_V is None or several or weight_VD.shape != (len(found), encoder.width):
        return None
    blank = document.get("pad_token_id", 0)
    places = {symbol: place for symbol, place in found.items() if place != blank and not MARK.fullmatch(symbol)}
    symbols = tuple(symbol.replace("|", BOUNDARY) for symbol in places)
    unit: Unit = "characters" if all(len(symbol) == 1 for symbol in symbols) else "phones"
    tokens = Tokens(unit, symbols)
    head, rows = OutputHead(encoder.width, tokens.count), [blank, *places.values()]
    head.load_state_dict({"weight": weight_VD[rows].float(), "bias": bias_V[rows].float()})
    return ChosenHead.of_output(head, tokens, encoder.depth + 1)


def _mapping(file: Path) -> dict[str, Any]:
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as err:
        raise InputError(f"teacher.source: {file}: {err}; expected JSON") from err
    if not isinstance(found, dict):
        raise InputError(f"teacher.source: {file}: {type(found).__name__}; expected a mapping")
    return found


def trained_head(
    task: Task, teacher: Teacher, corpus: Corpus, store: FolderStore, device: torch.device, seed: int
) -> ChosenHead:
    """The head that is trained for a task on the teacher, as the task's settings say, and that the dev split chose.

    If these fine-tune the encoder, its tuned copy comes with the head. Only one of several processes trains it, once
    for all searches that ask for the same.
    """
    head = load_head(_judged(task, teacher, None, corpus, store, device, seed))
    return ChosenHead(head.config, head.module.to(device), head.tuned)


def judge_teacher(
    tasks: Sequence[Task], folder: Path, corpus: Corpus, store: FolderStore, device: torch.device, seed: int
) -> None:
    """Measures the errors of the teacher in `folder` on each task, unless they are known or in the store.

    It is judged by its own head where that suits the task, else by one that is trained on it as on a student.
    """
    if not (unknown := _unknown(tasks, folder)):
        return
    teacher = load_teacher(folder, device)
    for task in unknown:
        _judged(task, teacher, own_head(folder, task, corpus, device), corpus, store, device, seed)


def judged_errors(
    tasks: Sequence[Task], folder: Path, corpus: Corpus, store: FolderStore, seed: int
) -> dict[str, float] | None:
    """The errors of the teacher in `folder`, under the names of a trial's metrics.

    They are those that it came with and those that `judge_teacher` has measured. None if one of these is missing.
    """
    errors = teacher_metrics(folder)
    if not (unknown := _unknown(tasks, folder)):
        return errors
    key = teacher_key(folder)
    for task in unknown:
        found = store.get(_key(task, key, corpus, seed))
        if found is None:
            return None
        errors |= json.loads((found / ERRORS_NAME).read_text(encoding="utf-8"))
    return errors


def _unknown(tasks: Sequence[Task], folder: Path) -> list[Task]:
    """The tasks on which the teacher did not come with an error of its own."""
    known = teacher_metrics(folder)
    return [task for task in tasks if f"eval/{task.metric}" not in known]


def _key(task: Task, teacher_key: str, corpus: Corpus, seed: int) -> str:
    settings = task.settings.model_dump_json()
    return content_digest(f"{ERRORS_NAME}\n{teacher_key}\n{settings}\n{seed}\n{corpus.fingerprint}")


def _judged(
    task: Task,
    teacher: Teacher,
    own: ChosenHead | None,
    corpus: Corpus,
    store: FolderStore,
    device: torch.device,
    seed: int,
) -> Path:
    """The folder with a head and the teacher's errors, from the store or made now."""

    def build(folder: Path) -> None:
        encoder = teacher.encoder.to(device)
        # The other processes wait for the store, so that they cannot take their shares of the work.
        with alone():
            if own is None:
                found = task.evaluate(encoder, corpus, test=True, device=device, seed=seed)
            else:
                assert isinstance(task, Judge)
                found = task.judge(encoder, own, corpus, test=True, device=device, seed=seed)
        assert found.head is not None
        assert found.test is not None
        found.head.save(folder)
        errors = found.dev.metrics(f"eval/{task.metric}") | found.test.metrics(f"test/{task.metric}")
        (folder / ERRORS_NAME).write_text(json.dumps(errors), encoding="utf-8")

    return store.get_or_build(_key(task, teacher.key, corpus, seed), build)
