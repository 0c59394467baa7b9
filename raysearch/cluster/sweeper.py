"""Ends what an embedded Ray leaves behind once its driver is gone, in whatever way that went. It runs as a program.

It is given the folder of that Ray. It waits until its input is closed, which the driver does, or the system when the
driver dies. Then it ends every process whose environment names the folder, and removes the folder. Ray's own processes
need up to half a minute to notice that they are alone.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import sys
import time
from pathlib import Path

VARIABLE = "RAY_TMPDIR"
"""The variable that says where Ray puts its sockets and logs. All processes of a Ray inherit it."""
LIMIT_S = 5.0
"""Seconds after which no more processes are looked for: one that no signal reaches waits for a disk that is gone."""


def processes(folder: str) -> list[int]:
    """Ids of the living processes of the Ray in this folder. There are none where the system has no `/proc`."""
    mark = f"{VARIABLE}={folder}".encode()
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        # Processes of others may not be looked at, and some end while they are.
        with contextlib.suppress(OSError):
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
    return found


def sweep(folder: str) -> None:
    """Ends these processes, also those that they start meanwhile, and removes the folder."""
    until_s = time.monotonic() + LIMIT_S
    while (left := processes(folder)) and time.monotonic() < until_s:
        for pid in left:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.stdin.read()
    sweep(sys.argv[1])
