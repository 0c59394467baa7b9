"""Work that Ray does, in a thread of its own, so that this one can show how far it is and hear Ctrl-C.

In the main thread Ray Train and Ray Tune would take Ctrl-C for themselves, and end in ways of their own.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from typing import TypeVar

from raysearch.cluster.connection import check_alive

TICK_S = 0.5
"""Seconds between two looks at what goes on."""
T = TypeVar("T")


def wait_for(work: Callable[[], T], tick: Callable[[], None] = lambda: None) -> T:
    """What `work` returns or raises. `tick` is called in this thread every `TICK_S` seconds until then.

    Raises: CutOffError if the Ray that was started here dies meanwhile. The work then stays where it is.
    """
    done: Future[T] = Future()

    def run() -> None:
        try:
            done.set_result(work())
        except BaseException as err:  # whatever it was, it is raised again where it is waited for
            done.set_exception(err)

    threading.Thread(target=run, daemon=True).start()
    while True:
        try:
            return done.result(timeout=TICK_S)
        except NotYetError:
            if done.done():  # it came from the work itself, or the work ended just now
                return done.result()
        check_alive()
        tick()
