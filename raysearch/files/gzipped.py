"""A gzip file that one of our verbs wrote: the same content is the same bytes, and damage is one clear line."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from raysearch.errors import InputError


def write_gzip(path: Path, content: bytes) -> None:
    # No time in the file's head, as gzip would put there.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.write(content)


def read_gzip(path: Path, expected: str) -> bytes:
    """Raises: InputError if there is no such file, or it is torn or damaged; `expected` says what it should be."""
    try:
        with gzip.open(path) as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as err:
        raise InputError(f"{path}: {getattr(err, 'strerror', None) or err}; expected {expected}") from err
