"""Files and folders that are old or new, and whole: whoever dies while writing one, and if the power fails.

Each is written beside its place under a name that ends in `.part`, brought to disk and renamed; then the folder that
names it is brought to disk as well.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"
"""How the name of what is not yet whole ends."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file, text as UTF-8; what lay there before is replaced."""
    with whole_file(path) as part:
        part.write_bytes(_as_bytes(content))


def write_new(path: Path, content: str | bytes) -> None:
    """Writes a file that is not there yet: of several writers at once, one succeeds.

    Raises: FileExistsError
    """
    part = _beside(path)
    try:
        part.write_bytes(_as_bytes(content))
        _to_disk(part)
        # A link fails where its name exists; a rename would replace what is there.
        os.link(part, path)
        _to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` when the block ends. If the block raises, nothing changes.

    For libraries that write a file by its name; the name does not end as `path` does.
    """
    part = _beside(path)
    try:
        yield part
        _to_disk(part)
        part.replace(path)
        _to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, that becomes `path` when the block ends. If the block raises, there is none.

    For one writer at a time: what an earlier one left behind when it died is removed.

    Raises: OSError at the end, if there is something in `path`.
    """
    part = path.with_name(path.name + PART)
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
        _all_to_disk(part)
        part.rename(path)
        _to_disk(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


@contextmanager
def first_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill, that becomes `path` when the block ends. Of several writers at once the first one wins,
    and the work of the others is dropped.
    """
    part = _beside(path)
    part.mkdir(parents=True)
    try:
        yield part
        _all_to_disk(part)
        try:
            part.rename(path)
        except OSError:
            if not path.exists():
                raise
        _to_disk(path.parent)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _as_bytes(content: str | bytes) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _beside(path: Path) -> Path:
    """A name of its own for each writer."""
    return path.with_name(f"{path.name}.{os.urandom(4).hex()}{PART}")


def _all_to_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        _to_disk(path)
    _to_disk(folder)


def _to_disk(path: Path) -> None:
    """Waits until the content of a file, or the names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as err:
        # Some network file systems cannot do this for a folder: they keep names in a way of their own.
        if err.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
