"""A full disk and a closed place, as the system and libraries tell of them."""

import errno
import os
from pathlib import Path

import pytest

from raysearch.errors import WorkError
from raysearch.files.disk import full_disk, is_full, told

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/s/x")


def caused(cause: Exception) -> Exception:
    try:
        raise WorkError("workers: something") from cause
    except WorkError as err:
        return err


@pytest.mark.parametrize(
    ("err", "line"),
    [
        (FULL, "disk full while writing /s/x"),
        (OSError(errno.ENOSPC, "", "what it says", None, "/s/link"), "disk full while writing /s/link"),
        (OSError(errno.EDQUOT, os.strerror(errno.EDQUOT)), "disk full while writing a checkpoint"),
        (ValueError("I/O error: No space left on device (os error 28)"), "disk full while writing a checkpoint"),
        (caused(FULL), "disk full while writing /s/x"),
        (OSError(errno.EROFS, "", "/s/x"), None),
        (ValueError("no"), None),
    ],
)
def test_full_disk_is_known_by_number_words_and_cause(err: Exception, line: str | None) -> None:
    assert full_disk(err, "a checkpoint") == line


def test_fault_of_ours_is_not_told_as_one_of_the_disk() -> None:
    assert told(OSError(errno.EBADF, "Bad file descriptor")) is None
    assert told(KeyError("x")) is None


@pytest.mark.parametrize(("readable", "may"), [(True, "write"), (False, "read")])
def test_place_that_is_closed(readable: bool, may: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Whoever runs the tests as root may read everything.
    monkeypatch.setattr(os, "access", lambda path, mode: readable)
    err = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(tmp_path))
    assert told(err) == f"{tmp_path}: Permission denied; expected a place that you may {may}"


def test_probe_of_a_disk_with_space_leaves_nothing(tmp_path: Path) -> None:
    assert not is_full(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_probe_of_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int) -> None:
        raise FULL

    monkeypatch.setattr(os, "fsync", refuse)
    assert is_full(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_place_that_is_not_there_is_not_full(tmp_path: Path) -> None:
    assert not is_full(tmp_path / "none")
