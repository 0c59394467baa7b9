"""The store of teachers. Each is trained here once for a corpus, or imported once from elsewhere.

A teacher's key is a digest of its settings and its corpus, or of its source.
"""

from __future__ import annotations

import json
import shutil
import time
from functools import partial
from pathlib import Path

import torch

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.encoder.checkpoint import WEIGHTS_NAME, save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.source import read_encoder, split_source
from raysearch.errors import InputError
from raysearch.files.digest import content_digest
from raysearch.targets.store import FolderStore
from raysearch.teachers.ctc import train_ctc
from raysearch.teachers.heads import huggingface_head
from raysearch.teachers.hubert import train_hubert
from raysearch.teachers.loading import DOCUMENT
from raysearch.teachers.settings import ReadyTeacher, TrainedTeacher
from raysearch.teachers.shape import ready_key
from raysearch.teachers.speakers import train_speakers
from raysearch.training.process import world_size


def find_teacher(settings: TrainedTeacher | ReadyTeacher, corpus: Corpus, store: FolderStore) -> Path | None:
    """The folder of a teacher that is there already. None if it has yet to be made.

    Raises: InputError if a ready teacher is not where it should be, or lies there in our form and is damaged.
    """
    if isinstance(settings, TrainedTeacher) or split_source(settings.source)[0]:
        corpus = own_corpus(settings, corpus, store)
        return store.get(_key(settings, corpus))
    folder = Path(settings.source)
    if not (folder / WEIGHTS_NAME).exists():
        raise InputError(f"teacher.source: {settings.source}; expected a folder with config.json and {WEIGHTS_NAME}")
    _read(settings.source)
    return folder.resolve()


def prepare_teacher(
    settings: TrainedTeacher | ReadyTeacher, corpus: Corpus, store: FolderStore, device: torch.device
) -> Path:
    """The teacher's folder, which is made if it is not there. Only one of several processes makes it.

    Raises: InputError if a ready teacher is not where it should be.
    """
    if found := find_teacher(settings, corpus, store):
        return found
    corpus = own_corpus(settings, corpus, store)
    key = _key(settings, corpus)
    if isinstance(settings, TrainedTeacher):
        return store.get_or_build(key, partial(_train, settings=settings, corpus=corpus, device=device))
    return store.get_or_build(key, partial(_import, source=settings.source))


def own_corpus(settings: TrainedTeacher | ReadyTeacher, corpus: Corpus, store: FolderStore) -> Corpus:
    """The corpus that the teacher is trained on: its own, or else that of the search."""
    if isinstance(settings, TrainedTeacher) and settings.corpus is not None:
        return read_corpus(settings.corpus, store.folder.parent / "corpora")
    return corpus


def _key(settings: TrainedTeacher | ReadyTeacher, corpus: Corpus) -> str:
    if isinstance(settings, TrainedTeacher):
        return content_digest(f"{settings.model_dump_json()}\n{corpus.fingerprint}")
    return ready_key(settings)


def _train(folder: Path, settings: TrainedTeacher, corpus: Corpus, device: torch.device) -> None:
    assert world_size() == 1, "the other processes would wait for the store's lock, and this one for them"
    started = time.perf_counter()
    work = folder / "work"
    train = {"ctc": train_ctc, "speaker": train_speakers, "hubert": train_hubert}
    metrics = train[settings.method](work, settings, corpus, device)
    document = {
        "metrics": metrics,
        "settings": settings.model_dump(mode="json"),
        "updates": settings.updates * (2 if settings.method == "hubert" else 1),
        "seconds": round(time.perf_counter() - started, 1),
    }
    # Checkpoints and label sets of the training are of no use to anybody later.
    for file in (work / "student").iterdir():
        file.rename(folder / file.name)
    shutil.rmtree(work)
    (folder / DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


def _import(folder: Path, source: str) -> None:
    """Reads a teacher from elsewhere and writes it to the folder, with its CTC head if it has one.

    Raises: InputError if the weights cannot be had, or are not those of an encoder that we know.
    """
    encoder = _read(source)
    save_encoder(encoder, folder)
    kind, where = split_source(source)
    head = huggingface_head(Path(where), encoder.config) if kind == "hf" else None
    if head is not None:
        head.save(folder)


def _read(source: str) -> Encoder:
    try:
        return read_encoder(source)
    except InputError as err:
        raise InputError(f"teacher.source: {err}") from err
