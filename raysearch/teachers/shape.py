"""The shape of a teacher, as far as it is known before any weights are there."""

from __future__ import annotations

from pathlib import Path

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.document import read_config
from raysearch.encoder.imports.source import split_source
from raysearch.encoder.published import PUBLISHED
from raysearch.errors import InputError
from raysearch.teachers.settings import ReadyTeacher, TrainedTeacher


def known_shape(teacher: TrainedTeacher | ReadyTeacher) -> AnyConfig | None:
    """The teacher's config. None if it is known only once the weights are imported.

    Raises: InputError if a teacher's folder is not there, or describes no encoder.
    """
    if isinstance(teacher, TrainedTeacher):
        return teacher.encoder()
    kind, where = split_source(teacher.source)
    if kind == "torchaudio":
        return PUBLISHED.get(where)
    if kind:
        return None
    try:
        return read_config(Path(where, "config.json"))
    except InputError as err:
        raise InputError(f"teacher.source: {err}") from err
