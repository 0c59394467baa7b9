"""How a lane and its workers speak. The mailbox has a file of its own, so that its actor loads nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

GO = "go"
"""A lane's answer to a report after which the trial goes on. Any other message ends the trial: it is the next order, or
None if there are no more."""


class Mailbox:
    """An actor with two queues: `down` carries orders to the workers, `up` carries their reports to the lane.

    Each side sends one message and waits for the other's answer, both in one call. Its methods are asynchronous, so
    that a side which waits does not block the message that it waits for.
    """

    def __init__(self) -> None:
        self._down: asyncio.Queue[Any] = asyncio.Queue()
        self._up: asyncio.Queue[Any] = asyncio.Queue()

    async def ask(self, message: Any) -> Any:
        """The lane's side: sends an order or GO, and gives the report that answers it."""
        await self._down.put(message)
        return await self._up.get()

    async def first(self) -> Any:
        """The workers' side: gives the order with which they begin."""
        return await self._down.get()

    async def answer(self, report: Any) -> Any:
        """The workers' side: sends a report, and gives what the lane says to it."""
        await self._up.put(report)
        return await self._down.get()

    async def end(self) -> None:
        """The lane's side: there are no more orders."""
        await self._down.put(None)
