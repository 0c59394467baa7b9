"""Writes files and folders so that whoever reads them finds the old one or the new one, and never a torn one.

This holds even if the writer dies or the power fails. Each is written beside its place, under a name that ends in
`.part`, brought to disk, and renamed. Then the folder around it, which holds the name, is brought to disk as well.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PART = ".part"
"""Ending of the name of a file or folder that is not whole yet."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Writes a file in place of what was there before. Text is encoded as UTF-8."""
    with whole_file(path) as part:
        part.write_bytes(_as_bytes(content))


def write_new(path: Path, content: str | bytes, *, mode: int | None = None) -> None:
    """Writes a file that is not there yet. Of several writers at once exactly one succeeds.

    `mode` says who may read and write it. By default the rules of the process do.
    Raises: FileExistsError if there is such a file.
    """
    part = _beside(path)
    try:
        # The file is opened with its mode, so that nobody else can read it even for a moment.
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT, 0o666 if mode is None else mode), "wb") as file:
            file.write(_as_bytes(content))
        _to_disk(part)
        # Making a link fails if the name exists. A rename would replace what is there.
        os.link(part, path)
        _to_disk(path.parent)
    finally:
        part.unlink(missing_ok=True)


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """Yields a path to write to. When the block ends, it takes the place of `path`; if it raises, nothing changes.

    This is for libraries that write a file by its name. The name that they get does not end as `path` does.
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
    """Yields an empty folder to fill, which becomes `path` when the block ends. If the block raises, it is removed.

    This is for one writer at a time: what an earlier writer left behind when it died is removed.

    Raises: OSError when the block ends, if `path` is a folder with something in it.
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
def growing_folder(path: Path) -> Iterator[Path]:
    """Yields a folder to fill, which becomes `path` when the block ends. If the block raises, it stays as it is.

    The folder is empty, or as an earlier writer left it that did not come to its end. This is for one writer at a time.

    Raises: OSError when the block ends, if `path` is a folder with something in it.
    """
    part = path.with_name(path.name + PART)
    part.mkdir(parents=True, exist_ok=True)
    yield part
    _all_to_disk(part)
    part.rename(path)
    _to_disk(path.parent)


@contextmanager
def first_folder(path: Path) -> Iterator[Path]:
    """Yields an empty folder to fill, which becomes `path` when the block ends.

    Of several writers at once the first one to finish wins, and the work of the others is dropped.
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
    """A path beside `path` for what is not whole yet. Each writer gets another one."""
    return path.with_name(f"{path.name}.{os.urandom(4).hex()}{PART}")


def _all_to_disk(folder: Path) -> None:
    for path in folder.rglob("*"):
        _to_disk(path)
    _to_disk(folder)


def _to_disk(path: Path) -> None:
    """Waits until the content of a file, or the list of names in a folder, would survive a power cut."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as err:
        # Some network file systems refuse this for a folder, since they keep names in a way of their own.
        if err.errno not in (errno.EINVAL, errno.ENOTSUP) or not path.is_dir():
            raise
    finally:
        os.close(descriptor)
