"""The shape of a teacher, as far as it is known before any weights are there."""

from __future__ import annotations

from pathlib import Path

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.document import read_config
from raysearch.encoder.imports.source import source_key, split_source
from raysearch.encoder.published import PUBLISHED
from raysearch.errors import InputError
from raysearch.teachers.settings import ReadyTeacher, TrainedTeacher


def ready_key(teacher: ReadyTeacher) -> str:
    """A digest that changes when the files of a teacher do, found without reading them.

    Raises: InputError if there are no such files.
    """
    try:
        return source_key(teacher.source)
    except InputError as err:
        raise InputError(f"teacher.source: {err}") from err


def known_shape(teacher: TrainedTeacher | ReadyTeacher) -> AnyConfig | None:
    """The teacher's config. None if it is known only once weights are imported or Hugging Face's folder is there.

    Raises: InputError if a teacher's folder is not there, or describes no encoder.
    """
    if isinstance(teacher, TrainedTeacher):
        return teacher.encoder()
    kind, where = split_source(teacher.source)
    if kind == "torchaudio":
        return PUBLISHED.get(where)
    if kind == "fairseq" or (kind == "hf" and not Path(where).exists()):
        return None
    try:
        return _described(kind, Path(where))
    except InputError as err:
        raise InputError(f"teacher.source: {err}") from err


def _described(kind: str, folder: Path) -> AnyConfig:
    if kind == "hf":
        # Loading torch takes seconds, and teachers from elsewhere do not need it.
        from raysearch.encoder.imports.huggingface import huggingface_config

        return huggingface_config(folder)
    return read_config(folder / "config.json")
