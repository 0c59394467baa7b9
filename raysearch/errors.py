"""The two ways a command ends badly: the user's input is wrong (exit 2), or the work failed (exit 1)."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

QUOTED = 80
"""Characters of what was found that a message shows."""


class InputError(Exception):
    """The user's input is wrong. The message is one line: `FILE: KEY: GOT; expected WHAT`.

    Line ends become blanks, and other characters that a terminal would act on are shown as Python writes them.
    """

    def __init__(self, message: str) -> None:
        line = " ".join(part.strip() for part in message.splitlines())
        super().__init__("".join(one if one.isprintable() else ascii(one)[1:-1] for one in line))


class WorkError(Exception):
    """The work failed through no fault of the input. The message says what was being done and what is safe."""


class AwayError(WorkError):
    """A study's database, or the store at a URI, did not answer in time, or lets nobody in. What it holds is safe."""


def quoted(found: object) -> str:
    """What was found, for a message: as Python writes it, and cut off where it is long."""
    try:
        return clipped(repr(found))
    except ValueError:  # Python writes no integers of thousands of digits
        return "an integer of thousands of digits"


def clipped(text: str) -> str:
    """A text for a message, cut off where it is long."""
    return text if len(text) <= QUOTED else f"{text[: QUOTED - 3]}..."


class DiskFullError(WorkError):
    """A disk is full, so that no more trials begin. What was written is safe."""


class CutOffError(WorkError):
    """What this process rests on has died, so that it can only end: asking for anything more would hang."""


class Interrupted(KeyboardInterrupt):
    """The user ends the command, by Ctrl-C or SIGTERM. The process ends within seconds, whatever is still open.

    A note on it (`add_note`) says how to go on.
    """


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message, ` (did you mean WORD?)`, if one of the known words is close to `word`. Else it is empty."""
    close = get_close_matches(word[:QUOTED], known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def counted(count: int, thing: str) -> str:
    """A number with its noun, such as `1 cut` or `2,000 cuts`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"
