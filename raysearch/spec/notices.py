"""Settings of the notices that a search sends: on what, and where the addresses are read from."""

from __future__ import annotations

import os
from importlib.util import find_spec
from typing import Annotated, Literal, get_args

from pydantic import Field

from raysearch.errors import InputError
from raysearch.settings import Settings

Event = Literal["started", "front", "failed", "stopped", "ended"]
"""What a notice can be about."""
EVENTS: tuple[Event, ...] = get_args(Event)
VARIABLE = "RAYSEARCH_NOTICES"
"""Environment variable that holds the addresses unless the document names others."""


class NoticeSettings(Settings):
    """Who is told of what. It needs the extra `notices`. One that does not arrive changes nothing of the search."""

    variables: list[Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]] = Field([VARIABLE], min_length=1)
    """Environment variables of the driver that hold the addresses, as [apprise](https://appriseit.com/) writes them and
    separated by blanks: `mailto://...`, `slack://...`, `json://...`. Addresses hold secrets, so that no document does.
    """
    of: list[Event] = list(EVENTS)
    """What is told: that the search started, that its front grew, that a trial failed and why, that the search was
    stopped before its end and why, and that it ended."""


def check_notices(settings: NoticeSettings | None) -> None:
    """Raises: InputError if a variable holds no address, or the library is not installed."""
    if settings is None:
        return
    for name in settings.variables:
        if not os.environ.get(name, "").split():
            raise InputError(f"notices.variables: {name} is empty; expected addresses in it, such as json://host/path")
    if find_spec("apprise") is None:
        raise InputError("notices: apprise is not installed; expected: pip install 'raysearch[notices]'")
