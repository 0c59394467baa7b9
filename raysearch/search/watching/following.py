"""The process that fills MLflow while a search runs. It is one of its own: no trial ever waits for the server."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable

from raysearch.cluster.connection import TMPDIR
from raysearch.files.secrets import PRIVATE
from raysearch.storage.folder import SearchFolder


def start_mirror(folder: SearchFolder) -> subprocess.Popen[bytes]:
    """Starts the process that fills MLflow. It is one of its own, so that no trial ever waits for the server."""
    # In a session of its own it outlives Ctrl-C, which is sent to a whole group of processes. It ends when its input is
    # closed, which happens even if this process is killed.
    command = [sys.executable, "-m", "raysearch.cli", "sync", folder.name, "--storage", str(folder.root), "--follow"]
    # It is no part of the Ray that was started here, and must not be taken for one when that is swept up.
    environment = {key: value for key, value in os.environ.items() if key != TMPDIR}
    # Libraries may write addresses with their passwords there, and the folder may be shared by a whole cluster.
    log = os.open(folder.path / "mirror.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, PRIVATE)
    # It may be there already, from an earlier version.
    os.fchmod(log, PRIVATE)
    try:
        return subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=log, stderr=log, env=environment, start_new_session=True
        )
    finally:
        os.close(log)


def end_mirror(
    mirror: subprocess.Popen[bytes], folder: SearchFolder, say: Callable[[str], None], *, waits: bool
) -> None:
    """Asks the mirror for its last pass by closing its input, and `waits` for that or not."""
    assert mirror.stdin is not None
    mirror.stdin.close()
    if not waits:
        return
    lacks = f"MLflow lacks some of this search; complete it with: {folder.sync_command}"
    try:
        # A dead server must not hold up the end of a search.
        complete = mirror.wait(timeout=120) == 0
    except subprocess.TimeoutExpired:
        mirror.kill()
        complete = False
    except KeyboardInterrupt as err:
        err.add_note(f"the search is done; {lacks}")
        raise
    if not complete:
        say(lacks)
