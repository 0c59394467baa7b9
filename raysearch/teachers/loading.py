"""How a teacher is read from its folder, and frozen.

The folder is the checkpoint of an encoder. One that was trained here also has `teacher.json`, with the teacher's own
errors, its settings, and the updates and seconds that it took.
"""

from __future__ import annotations

from pathlib import Path

import torch
from pydantic import BaseModel, ValidationError

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.checkpoint import WEIGHTS_NAME, load_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.teacher import Teacher
from raysearch.errors import InputError
from raysearch.files.digest import content_digest
from raysearch.settings import first_fault
from raysearch.teachers.settings import TrainedTeacher
from raysearch.training.initial import initial_encoder

DOCUMENT = "teacher.json"


class _Document(BaseModel):
    """What is read of `teacher.json`. The rest is for people."""

    metrics: dict[str, float]


def teacher_metrics(folder: Path) -> dict[str, float]:
    """The teacher's own errors in percent. Empty if they are not known. Raises: InputError if their file is damaged."""
    document = folder / DOCUMENT
    if not document.exists():
        return {}
    try:
        return _Document.model_validate_json(document.read_bytes()).metrics
    except ValidationError as err:
        raise InputError(f"{document}: {first_fault(err, _Document)}") from err


def load_teacher(folder: Path, device: torch.device) -> Teacher:
    """The teacher in `folder`, frozen and in eval mode. Its key is the digest of its weights."""
    return Teacher(_frozen(load_encoder(folder, device)), teacher_key(folder), teacher_metrics(folder))


def teacher_key(folder: Path) -> str:
    """The digest of a teacher's weights, by which it is known in stores."""
    return content_digest((folder / WEIGHTS_NAME).read_bytes())


def untrained_teacher(settings: TrainedTeacher, corpus: Corpus) -> Teacher:
    """A teacher of the right shape that has learned nothing. It stands in where no teacher is asked or trained yet."""
    encoder = initial_encoder(settings.encoder(), None, corpus, settings.seed)
    return Teacher(_frozen(encoder), key="untrained")


def _frozen(encoder: Encoder) -> Encoder:
    return encoder.eval().requires_grad_(False)
