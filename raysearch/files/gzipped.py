"""Writes and reads gzip files. The same content gives the same bytes, and a damaged file gives a clear error."""

from __future__ import annotations

import gzip
import zlib
from pathlib import Path

from raysearch.errors import InputError


def write_gzip(path: Path, content: bytes) -> None:
    """Writes a gzip file that holds nothing but the content."""
    # By itself, gzip writes the time and the file's name into the head: equal content would differ in bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.write(content)


def read_gzip(path: Path, expected: str) -> bytes:
    """The content of a gzip file.

    Raises: InputError if there is no such file, or it is torn or damaged; `expected` says there what it should be.
    """
    try:
        with gzip.open(path) as file:
            return file.read()
    except (OSError, EOFError, zlib.error) as err:
        raise InputError(f"{path}: {getattr(err, 'strerror', None) or err}; expected {expected}") from err
