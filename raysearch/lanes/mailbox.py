"""How a lane and its workers speak. In a file of its own: the actor that holds it loads nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

GO, STOP = "go", "stop"
"""What a lane answers to a report that is not the trial's last."""


class Mailbox:
    """Orders down to the workers, reports up to the lane."""

    def __init__(self) -> None:
        self._boxes: dict[str, asyncio.Queue[Any]] = {"down": asyncio.Queue(), "up": asyncio.Queue()}

    async def put(self, way: str, message: Any) -> None:
        await self._boxes[way].put(message)

    async def get(self, way: str) -> Any:
        return await self._boxes[way].get()
