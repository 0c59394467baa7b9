"""Ctrl-C and SIGTERM: the command ends within seconds, and its last line says how to go on.

The exit code is 130 after Ctrl-C and 143 after SIGTERM, as shells have it.
"""

from __future__ import annotations

import os
import shlex
import signal
import sys
import threading
from types import FrameType
from typing import NoReturn

from raysearch.errors import Interrupted
from raysearch.files.secrets import masked

LIMIT_S = 2.0
"""Seconds in which what is open may be closed. Nothing needs it: a driver may be killed at any moment."""
SHOW_CURSOR = "\x1b[?25h"


def _pass_over(number: int, frame: FrameType | None) -> None:
    pass


class Interrupts:
    """Hears the first signal that asks this process to end. It lets no other one disturb that."""

    def __init__(self) -> None:
        self.heard: Interrupted | None = None
        """What was raised in the main thread when the signal came."""
        self._number = 0
        self._ending = threading.Lock()

    def listen(self) -> None:
        """Takes the signals, but those that are ignored already, as `nohup` wants it."""
        for number in (signal.SIGINT, signal.SIGTERM):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._hear)

    def _hear(self, number: int, frame: FrameType | None) -> None:
        # Not SIG_IGN: Python complains aloud of a second signal that came before this line.
        for other in (signal.SIGINT, signal.SIGTERM):
            signal.signal(other, _pass_over)
        self._number, self.heard = number, Interrupted()
        # A library may swallow what is raised here, or wait for a server that is away.
        late = threading.Timer(LIMIT_S, self.end)
        late.daemon = True
        late.start()
        raise self.heard

    def end(self) -> NoReturn:
        """Says how to go on, and ends this process at once: nothing of it is closed, nothing says another word."""
        self._ending.acquire()  # never released: of two threads that get here, one waits until it is over
        notes = getattr(self.heard, "__notes__", [])
        again = masked(shlex.join(["raysearch", *sys.argv[1:]]))
        line = f"interrupted; {notes[0] if notes else f'to go on: {again}'}\n"
        if os.isatty(2):
            line = f"\r{SHOW_CURSOR}{line}"
        os.write(2, line.encode())
        os._exit(128 + self._number)
