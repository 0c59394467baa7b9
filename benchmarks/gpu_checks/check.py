"""What a check is, and how it is run: in a process of its own, for as long as its limit allows."""

from __future__ import annotations

import contextlib
import math
import multiprocessing
import os
import signal
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.context import ForkProcess
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from gpu_checks.device import Setting

_END_S = 10.0
"""Most seconds to wait for a process that was killed."""


class Found:
    """What a check found: numbers by row and by name, whatever is not as it should be, and what was left out and why.

    Each is told at once, so that it is known also if the check hangs or dies afterwards.
    """

    def __init__(self, tell: Callable[[Found], None] = lambda found: None) -> None:
        """`tell` is called whenever something was found."""
        self.figures: dict[str, dict[str, Any]] = {}
        self.faults: list[str] = []
        self.left_out: list[str] = []
        self._tell = tell

    def row(self, name: str, **figures: Any) -> None:
        """Adds a row of figures. JSON has no infinities and nothing that is not a number, so these become words."""
        self.figures[name] = {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in figures.items()
        }
        self._tell(self)

    def fail(self, fault: str) -> None:
        """Adds a fault. A check with faults has failed."""
        self.faults.append(fault)
        self._tell(self)

    def expect(self, holds: bool, fault: str) -> None:
        """Adds the fault unless the condition holds."""
        if not holds:
            self.fail(fault)

    def leave_out(self, what: str) -> None:
        """Says what was not done, because something is not installed or the device does not have it."""
        self.left_out.append(what)
        self._tell(self)

    @contextlib.contextmanager
    def part(self, name: str = "") -> Iterator[None]:
        """Whatever is raised inside becomes a fault of the part with this name, and the check goes on."""
        try:
            yield
        except Exception as err:
            traceback.print_exc()
            self.fail((f"{name}: " if name else "") + said(err))

    def document(self) -> dict[str, Any]:
        """All that was found, for JSON."""
        return {"figures": self.figures, "faults": self.faults, "left_out": self.left_out}


@dataclass(frozen=True)
class Check:
    """A named function that fills in what it finds, as it finds it."""

    name: str
    needs_s: float
    """Seconds that it takes at most where all is well. It is ended after twice as long."""
    function: Callable[[Setting, Found], None]


def run(check: Check, setting: Setting, left_s: float) -> dict[str, Any]:
    """What the check found, with its state and how long it took. It is skipped if it needs more than `left_s` seconds.

    The process is forked, so that all is imported once. A fault of CUDA stays within it.
    """
    if check.needs_s > left_s:
        found = Found()
        found.leave_out(f"it may need {check.needs_s:g} s, and {max(0.0, left_s):.0f} s are left")
        return {"state": "skipped", "seconds": 0.0, **found.document()}
    began_s = time.monotonic()
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=_work, args=(check, setting, sender))
    process.start()
    sender.close()
    try:
        document = _heard(receiver, process, min(2 * check.needs_s, left_s))
    finally:
        _end(process)
    state = "failed" if document["faults"] else "ok" if document["figures"] else "skipped"
    return {"state": state, "seconds": round(time.monotonic() - began_s, 2), **document}


def _heard(receiver: Connection, process: ForkProcess, limit_s: float) -> dict[str, Any]:
    """What the process has told when it is done, has died, or has taken as long as it may."""
    end_s = time.monotonic() + limit_s
    document, done = Found().document(), False
    while not done:
        if not receiver.poll(max(0.0, end_s - time.monotonic())):
            document["faults"].append(f"took more than {limit_s:g} s")
            break
        try:
            document, done = receiver.recv()
        except EOFError:
            process.join(_END_S)
            document["faults"].append(f"its process ended with {process.exitcode} before it was done")
            break
    return document


def _end(process: ForkProcess) -> None:
    # With whatever the check has started, such as the compiler's workers.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid or 0, signal.SIGKILL)
    process.kill()
    process.join(_END_S)


def _work(check: Check, setting: Setting, sender: Connection) -> None:
    os.setsid()
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # Exporters print, and the standard output belongs to the document.
    os.dup2(2, 1)
    torch.manual_seed(0)
    found = Found(lambda found: sender.send((found.document(), False)))
    with found.part():
        check.function(setting, found)
    sender.send((found.document(), True))


def said(err: Exception) -> str:
    """An error in one line."""
    return f"{type(err).__name__}: {' '.join(str(err).split())[:200]}"


def apart(found: torch.Tensor, expected: torch.Tensor) -> float:
    """The norm of the difference, over that of what is expected."""
    expected = expected.double().cpu()
    return float((found.double().cpu() - expected).norm() / expected.norm())
