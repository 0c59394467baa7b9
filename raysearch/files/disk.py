"""A disk that is full or may not be written, however a library tells of it."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from pathlib import Path

FULL = (errno.ENOSPC, errno.EDQUOT)
CLOSED = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a place that this user may not write: read-only, or somebody else's."""
PROBE_BYTES = 1 << 20


def full_disk(err: BaseException, what: str = "a file") -> str | None:
    """The line `disk full while writing FILE` if that is why something failed, else None.

    `what` was being written, for errors that do not name the file. Some libraries keep only the system's words.
    """
    for one in _chain(err):
        if isinstance(one, OSError) and one.errno in FULL:
            return f"disk full while writing {_written(one) or what}"
        if any(os.strerror(number) in str(one) for number in FULL):
            return f"disk full while writing {what}"
    return None


def told(err: BaseException) -> str | None:
    """The line that says which file cannot be written or read, and why; None if the error is of another kind."""
    if full := full_disk(err):
        return f"{full}; free some space, then try again"
    if isinstance(err, OSError) and err.errno in CLOSED:
        file = _written(err) or "a file"
        closed = os.path.exists(file) and not os.access(file, os.R_OK)
        return f"{file}: {os.strerror(err.errno)}; expected a place that you may {'read' if closed else 'write'}"
    return None


def _written(err: OSError) -> str | None:
    """The file that was to be written. Of a link or a new name that is the second of two."""
    return err.filename2 or err.filename


def is_full(folder: Path) -> bool:
    """Whether nothing more can be written in a folder. It is tried, since free space does not tell of quotas."""
    probe = folder / f".{os.urandom(4).hex()}.part"
    try:
        with probe.open("wb") as file:
            file.write(bytes(PROBE_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError as err:
        return err.errno in FULL
    finally:
        probe.unlink(missing_ok=True)
    return False


def _chain(err: BaseException | None) -> Iterator[BaseException]:
    """The error, and those from which it came."""
    while err is not None:
        yield err
        err = err.__cause__ or err.__context__
