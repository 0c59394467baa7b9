"""A study's journal file, in which entries that belong together are written as one."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raysearch.errors import WorkError
from raysearch.storage.lock import JournalLock

Entry = dict[str, Any]
CHUNK = 65_536
"""Bytes that are looked at together for the last whole line. The file's end is a newline nearly always."""

_log = logging.getLogger(__name__)


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
        self._mine = JournalLock(path)
        self._path = Path(path)
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
                    self.append_logs(held)
                    # Now their places are known, and the next reading need not look for them from the file's start.
                    self._count()
        finally:
            self._mine.release()

    def append_logs(self, logs: list[Entry]) -> None:
        """Writes entries whole or not at all.

        Raises: OSError if the disk is full. The file is then as it was.
        """
        if self._held is not None:
            # As they will be read back: JSON knows no tuples.
            self._held += json.loads(json.dumps(logs))
            return
        self._mine.acquire()
        try:
            size = self._cut_back()
            try:
                super().append_logs(logs)
            except OSError as err:
                os.truncate(self._path, size)
                raise OSError(err.errno, err.strerror, str(self._path)) from err
        finally:
            self._mine.release()

    def _cut_back(self) -> int:
        """The file's size once what a killed writer left after the last whole line is gone."""
        with self._path.open("rb+") as file:
            size = file.seek(0, os.SEEK_END)
            end = size
            while end:
                begin = max(0, end - CHUNK)
                file.seek(begin)
                newline = file.read(end - begin).rfind(b"\n")
                if newline >= 0:
                    end = begin + newline + 1
                    break
                end = begin
            if end < size:
                _log.warning("%s: %d bytes of a line that was never finished are cut off", self._path, size - end)
                file.truncate(end)
            return end

    def read_logs(self, log_number_from: int) -> Iterator[Entry]:  # type: ignore[override]
        if self._held is None or log_number_from < self._on_disk:
            yield from self._entries(log_number_from)
        if self._held is not None:
            yield from self._held[max(0, log_number_from - self._on_disk) :]

    def _entries(self, log_number_from: int) -> Iterator[Entry]:
        """Entries of the file. Raises: WorkError if it is damaged, which a writer that died cannot have done."""
        if self._ends_before(log_number_from):
            return
        expected = "expected a study.journal that was not changed by others: put back a copy of it"
        try:
            for entry in super().read_logs(log_number_from):
                if not isinstance(entry, dict) or not {"op_code", "worker_id"} <= entry.keys():
                    raise ValueError("no entry of a study")
                yield entry
        except ValueError as err:
            raise WorkError(f"{self._path}: damaged ({err}); {expected}") from err

    def _count(self) -> int:
        """Entries of the file."""
        known = len(self._log_number_offset) - 1
        return known if self._ends_before(known) else known + sum(1 for _ in super().read_logs(known))

    def _ends_before(self, log_number: int) -> bool:
        """Whether the file is known to end where an entry of this number would begin: most looks at it find nothing."""
        begin = self._log_number_offset.get(log_number)
        return begin is not None and begin == self._path.stat().st_size
