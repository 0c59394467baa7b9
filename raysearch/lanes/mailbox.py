"""How a lane and its workers speak. The mailbox has a file of its own, so that its actor loads nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

GO = "go"
"""A lane's answer to a report after which the trial goes on. Any other message ends the trial: it is the next order, or
None if there are no more."""


class Mailbox:
    """An actor with two queues: `down` carries orders to the workers, `up` carries their reports to the lane.

    Its methods are asynchronous, so that a `get` which waits for a message does not block the `put` that brings it. Ray
    may then run two calls of `put` in either order. So each side sends one message, and waits for the other's answer.
    """

    def __init__(self) -> None:
        self._boxes: dict[str, asyncio.Queue[Any]] = {"down": asyncio.Queue(), "up": asyncio.Queue()}

    async def put(self, way: str, message: Any) -> None:
        await self._boxes[way].put(message)

    async def get(self, way: str) -> Any:
        return await self._boxes[way].get()
