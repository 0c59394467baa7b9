"""Who holds a lease or a lock, and whether that process still lives."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import dataclass
from pathlib import Path

SILENCE_S = 60.0
"""A holder on another host that was silent for so long counts as dead. One on this host is looked up by its pid."""


@dataclass(frozen=True)
class Holder:
    """A process that holds something: enough to ask its host whether it still lives."""

    host: str
    pid: int
    born: int
    """When the process started, in the kernel's ticks: a pid alone may have been given to another since."""
    since_s: int
    """Unix time."""

    @classmethod
    def here(cls, now_s: float) -> Holder:
        return cls(socket.gethostname(), os.getpid(), _born(os.getpid()) or 0, int(now_s))

    def __str__(self) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(self.since_s))
        return f"pid {self.pid} on {self.host}, since {since}"

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this host."""
        return self.host == socket.gethostname()

    def is_dead(self, silent_s: float) -> bool:
        """Whether it has ended. A holder on another host cannot be asked: it counts as dead after long silence."""
        return _born(self.pid) != self.born if self.is_here else silent_s > SILENCE_S


def _born(pid: int) -> int | None:
    """Start of a process in ticks since boot; 0 where the system does not say; None if it is dead or a zombie."""
    try:
        # The command, in parentheses, may hold blanks; state is the first field after it and the start the 20th.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return _alive_without_proc(pid)
    return None if fields[0] in "ZX" else int(fields[19])


def _alive_without_proc(pid: int) -> int | None:
    if Path("/proc/self/stat").exists():
        return None
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # another user's, and alive
    return 0
