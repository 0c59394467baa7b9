"""Folders named by a hash of what they were made from: each is built once, by one process, and shared by all.

The store lies on a file system that all workers see and that knows `flock` (local disks, NFS from version 4).
"""

from __future__ import annotations

import fcntl
import logging
import shutil
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from raysearch.targets.label_set import LabelKey, LabelSet, read_label_set

_log = logging.getLogger(__name__)

_MARKER = "complete"
_PART = ".part"


class FolderStore:
    """Content-addressed folders. A folder counts only with its marker, which is written last."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def get(self, digest: str) -> Path | None:
        """The folder, if it was built to its end."""
        path = self.folder / digest
        return path if (path / _MARKER).exists() else None

    def get_or_build(self, digest: str, build: Callable[[Path], None]) -> Path:
        """The folder; `build` fills an empty one if there is none. Whoever asks meanwhile waits for it.

        What a builder that failed or died left behind is removed by the next one.
        """
        if found := self.get(digest):
            return found
        with self._lock(digest):
            if found := self.get(digest):
                return found
            part, path = self.folder / (digest + _PART), self.folder / digest
            shutil.rmtree(part, ignore_errors=True)
            shutil.rmtree(path, ignore_errors=True)
            part.mkdir()
            build(part)
            part.rename(path)
            (path / _MARKER).touch()
            return path

    def ls(self) -> list[str]:
        """Digests of the complete folders, sorted."""
        return sorted(marker.parent.name for marker in self.folder.glob(f"*/{_MARKER}"))

    def gc(self, keep: Collection[str]) -> list[str]:
        """Removes the folders that are not in `keep`, torn ones too, and returns their digests; a build under way
        is waited for and kept.
        """
        removed = []
        for path in sorted(self.folder.glob("[!.]*")):
            digest = path.name.removesuffix(_PART)
            if digest in keep:
                continue
            with self._lock(digest):
                if path.exists():
                    (path / _MARKER).unlink(missing_ok=True)
                    shutil.rmtree(path, ignore_errors=True)
                    removed.append(digest)
        return removed

    @contextmanager
    def _lock(self, digest: str) -> Iterator[None]:
        # Lock files stay: removing one that another process has just opened would let two builders in.
        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / digest).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.info("%s is being built by another process; waiting for it", self.folder / digest)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield  # closing the file, or dying, releases the lock


class LabelStore:
    """Label sets by key."""

    def __init__(self, folder: Path) -> None:
        self._folders = FolderStore(folder)

    def get(self, key: LabelKey) -> LabelSet | None:
        """Raises: WorkError if the set is there but unreadable; so do the other verbs."""
        path = self._folders.get(key.digest)
        return read_label_set(path) if path else None

    def get_or_build(self, key: LabelKey, build: Callable[[Path], None]) -> LabelSet:
        """The label set; `build` writes one into the folder it is given if there is none yet."""
        return read_label_set(self._folders.get_or_build(key.digest, build))

    def ls(self) -> list[LabelSet]:
        return [read_label_set(self._folders.folder / digest) for digest in self._folders.ls()]

    def gc(self, keep: Collection[str]) -> list[str]:
        """Removes the sets whose digest is not in `keep`; returns their digests."""
        return self._folders.gc(keep)
