"""Reads an encoder document, YAML or JSON, and says in one line what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raysearch.encoder.config import AnyConfig, config_model
from raysearch.errors import InputError
from raysearch.files.yaml_text import read_mapping


def read_config(file: Path | str) -> AnyConfig:
    """The encoder that the document in `file` describes.

    Raises: InputError if the file is missing, is not YAML or JSON, or does not describe an encoder.
    """
    return as_config(read_mapping(file, "an encoder document"), file)


def as_config(document: Any, file: Path | str) -> AnyConfig:
    """The encoder that a document describes.

    Raises: InputError, naming the file, if the document does not describe an encoder.
    """
    try:
        return config_model(document).checked(document)
    except InputError as err:
        raise InputError(f"{file}: {err}") from err
