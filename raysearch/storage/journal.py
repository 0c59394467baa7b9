"""A study's journal file, in which entries that belong together are written as one."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileSymlinkLock

Entry = dict[str, Any]


class Journal(JournalStorage):
    """Optuna's storage on a journal file."""

    def __init__(self, path: str) -> None:
        self._file = _File(path)
        super().__init__(self._file)

    @contextmanager
    def together(self) -> Iterator[None]:
        """What is written within reaches the disk at its end, all or nothing: one wait for the disk instead of one an
        entry. Nobody else can write until then, so nothing within may take long.
        """
        with self._file.together():
            yield


class _File(JournalFileBackend):
    def __init__(self, path: str) -> None:
        self._mine = _Reentrant(path)
        super().__init__(path, self._mine)
        self._held: list[Entry] | None = None
        self._on_disk = 0

    @contextmanager
    def together(self) -> Iterator[None]:
        if self._held is not None:
            yield
            return
        self._mine.acquire()
        try:
            self._on_disk, self._held = self._count(), []
            try:
                yield
            finally:
                held, self._held = self._held, None
                if held:
                    super().append_logs(held)
                    # Now their places are known, and the next reading need not look for them from the file's start.
                    self._count()
        finally:
            self._mine.release()

    def append_logs(self, logs: list[Entry]) -> None:
        if self._held is None:
            super().append_logs(logs)
        else:
            # As they will be read back: JSON knows no tuples.
            self._held += json.loads(json.dumps(logs))

    def read_logs(self, log_number_from: int) -> Iterator[Entry]:  # type: ignore[override]
        if self._held is None or log_number_from < self._on_disk:
            yield from super().read_logs(log_number_from)
        if self._held is not None:
            yield from self._held[max(0, log_number_from - self._on_disk) :]

    def _count(self) -> int:
        """Entries of the file."""
        known = len(self._log_number_offset) - 1
        return known + sum(1 for _ in super().read_logs(known))


class _Reentrant(JournalFileSymlinkLock):
    """A lock that its holder may take again."""

    _depth = 0

    def acquire(self) -> bool:
        if not self._depth:
            super().acquire()
        self._depth += 1
        return True

    def release(self) -> None:
        self._depth -= 1
        if not self._depth:
            super().release()
