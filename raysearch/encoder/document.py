"""Reads an encoder document, YAML or JSON, and says in one line what is wrong with it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from raysearch.encoder.config import AnyConfig, config_model
from raysearch.errors import InputError


def read_config(file: Path | str) -> AnyConfig:
    """The encoder that the document in `file` describes.

    Raises: InputError if the file is missing, is not YAML or JSON, or does not describe an encoder.
    """
    return as_config(read_document(file), file)


def read_document(file: Path | str) -> Any:
    """The content of `file`, not checked yet. Raises: InputError if the file is missing, or is not YAML or JSON."""
    try:
        return yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected an encoder document") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise InputError(f"{file}: {' '.join(str(err).split())}; expected YAML or JSON") from err


def as_config(document: Any, file: Path | str) -> AnyConfig:
    """The encoder that a document describes.

    Raises: InputError, naming the file, if the document does not describe an encoder.
    """
    try:
        return config_model(document).checked(document)
    except InputError as err:
        raise InputError(f"{file}: {err}") from err
