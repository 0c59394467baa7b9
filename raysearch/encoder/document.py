"""Reads the encoder document, YAML or JSON, and says in one line what is wrong with it."""

from __future__ import annotations

from pathlib import Path

import yaml
from pydantic import ValidationError

from raysearch.encoder.config import EncoderConfig
from raysearch.errors import InputError


def read_config(file: Path | str) -> EncoderConfig:
    """Raises: InputError if the file is missing, is not YAML or JSON, or does not describe an encoder."""
    try:
        document = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected an encoder document") from err
    except (yaml.YAMLError, UnicodeDecodeError) as err:
        raise InputError(f"{file}: {' '.join(str(err).split())}; expected YAML or JSON") from err
    try:
        return EncoderConfig.model_validate(document)
    except ValidationError as err:
        raise InputError(f"{file}: {_first_error(err)}") from err


def _first_error(err: ValidationError) -> str:
    first = err.errors(include_url=False)[0]
    key = ".".join(str(part) for part in first["loc"]) or "document"
    if first["type"] == "value_error":
        return f"{key}: {first['ctx']['error']}"
    return f"{key}: {first['input']!r}; {first['msg'][0].lower()}{first['msg'][1:]}"
