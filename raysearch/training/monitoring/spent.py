"""What a training takes: seconds of the clock, and of CPU cores, which a machine that does other work does not inflate.

with spending(folder):         # also counts what earlier attempts in this folder took, which were killed
    ...                        # a training that says how far it is
read_spent(folder)             # the sum over all attempts
"""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from raysearch.files.whole import write_whole
from raysearch.training.monitoring.progress import overheard_by

SPENT_NAME = "spent.json"
KEPT_EVERY_S = 5.0
"""Seconds after which what was spent is written again. An attempt that is killed may lose so many."""


@dataclass(frozen=True)
class Spent:
    """What was spent on a piece of work."""

    seconds: float = 0.0
    """Seconds of the clock."""
    cpu_seconds: float = 0.0
    """Seconds of CPU cores: of all threads of the process, and of processes that it has waited for."""

    @classmethod
    def now(cls) -> Spent:
        """The readings of both clocks. Only differences mean anything."""
        used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        return cls(time.monotonic(), sum(one.ru_utime + one.ru_stime for one in used))

    def __add__(self, other: Spent) -> Spent:
        return Spent(self.seconds + other.seconds, self.cpu_seconds + other.cpu_seconds)

    def __sub__(self, other: Spent) -> Spent:
        return Spent(self.seconds - other.seconds, self.cpu_seconds - other.cpu_seconds)


@contextmanager
def spending(folder: Path) -> Iterator[None]:
    """A context whose work is counted in a file of the folder, on top of what the file says already."""
    before, began, kept_s = read_spent(folder) or Spent(), Spent.now(), time.monotonic()

    def keep(*_: object) -> None:
        nonlocal kept_s
        if time.monotonic() - kept_s >= KEPT_EVERY_S:
            _write(folder, before + Spent.now() - began)
            kept_s = time.monotonic()

    try:
        with overheard_by(keep):
            yield
    finally:
        _write(folder, before + Spent.now() - began)


def read_spent(folder: Path) -> Spent | None:
    """What was spent on the training in a folder. None where nobody counted, as in earlier versions."""
    path = folder / SPENT_NAME
    return Spent(**json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def _write(folder: Path, spent: Spent) -> None:
    write_whole(folder / SPENT_NAME, json.dumps({key: round(x, 3) for key, x in asdict(spent).items()}))
