"""How a lane and its workers speak. The mailbox has a file of its own, so that its actor loads nothing else."""

from __future__ import annotations

from queue import SimpleQueue
from typing import Any, ClassVar

GO = "go"
"""A lane's answer to a report after which the trial goes on. Any other message ends the trial: it is the next order, or
None if there are no more."""


class Mailbox:
    """An actor with two queues: `down` carries orders to the workers, `up` carries their reports to the lane.

    Each side sends one message and waits for the other's answer, both in one call. Its methods run in threads, so that
    a side which waits does not block the message that it waits for. Ray calls threads sooner than coroutines.
    """

    THREADS: ClassVar[int] = 4
    """How many calls there can be at once: one that waits on each side, an order beside them, and the end."""

    def __init__(self) -> None:
        self._down: SimpleQueue[Any] = SimpleQueue()
        self._up: SimpleQueue[Any] = SimpleQueue()

    def ask(self, message: Any) -> Any:
        """The lane's side: sends an order or GO, and gives the report that answers it."""
        self._down.put(message)
        return self._up.get()

    def first(self) -> Any:
        """The workers' side: gives the order with which they begin."""
        return self._down.get()

    def answer(self, report: Any) -> Any:
        """The workers' side: sends a report, and gives what the lane says to it."""
        self._up.put(report)
        return self._down.get()

    def end(self) -> None:
        """The lane's side: there are no more orders."""
        self._down.put(None)
