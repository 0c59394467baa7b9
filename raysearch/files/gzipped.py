"""Writes and reads gzip files. The same content gives the same bytes, and a damaged file gives a clear error."""

from __future__ import annotations

import gzip
import io
import zlib
from pathlib import Path

from raysearch.errors import InputError
from raysearch.files.stand_ins import refuse_stand_in

MOST_BYTES = 256 << 20
"""Most bytes that are unpacked. A small file can unpack to a thousand times its size, and take all memory."""

TIMES = 64
"""Times its size to which a larger file may be unpacked. Text gets some ten times smaller, an attack a thousand."""


def write_gzip(path: Path, content: bytes) -> None:
    """Writes a gzip file that holds nothing but the content."""
    # By itself, gzip writes the time and the file's name into the head: equal content would differ in bytes.
    with path.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as file:
        file.write(content)


def read_gzip(path: Path, expected: str) -> bytes:
    """The content of a gzip file, of at most 256 MiB.

    Raises: InputError if there is no such file, or it is torn, damaged or larger; `expected` says there what it should
    be.
    """
    refuse_stand_in(path, expected)
    try:
        with gzip.open(path) as file:
            content = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as err:
        raise InputError(f"{path}: {getattr(err, 'strerror', None) or err}; expected {expected}") from err
    if len(content) > MOST_BYTES:
        raise InputError(f"{path}: more than {MOST_BYTES >> 20} MiB when unpacked; expected {expected}")
    return content


def unpacked(content: bytes) -> bytes:
    """What these bytes, packed by gzip, hold: at most 256 MiB, or 64 times their size where that is more.

    Raises: ValueError if it is more, OSError, EOFError or zlib.error if it is torn or damaged.
    """
    most = max(MOST_BYTES, TIMES * len(content))
    with gzip.open(io.BytesIO(content)) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise ValueError(f"more than {most >> 20} MiB when unpacked")
    return found
