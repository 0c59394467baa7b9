"""The head with which a student begins that is trained for a task: the teacher's own, or one that is trained first.

A teacher's own head lies beside its encoder, in the form in which an export keeps both. Teachers that were trained to
read have one, here or by transformers.
"""

from __future__ import annotations

import json
import re
from functools import partial
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
from raysearch.tasks.ctc.tokens import BOUNDARY, OutputHead, Tokens, Unit
from raysearch.tasks.head import DOCUMENT_NAME, ChosenHead, load_head
from raysearch.tasks.objective import TaughtTask
from raysearch.training.process import alone

VOCABULARY_NAME = "vocab.json"
MARK = re.compile(r"<.+>|\[.+\]")
"""Tokens of transformers that stand for no sound."""


def own_head(folder: Path, task: TaughtTask, corpus: Corpus, device: torch.device) -> ChosenHead | None:
    """The head that lies beside a teacher. None if there is none, or if it does not suit the task on this corpus.

    Raises: InputError if it is damaged.
    """
    if not (folder / DOCUMENT_NAME).exists():
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
