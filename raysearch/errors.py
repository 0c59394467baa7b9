"""The two ways a command ends badly: the user's input is wrong (exit 2), or the work failed (exit 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class InputError(Exception):
    """The user's input is wrong. The message is one line: `FILE: KEY: GOT; expected WHAT`."""


class WorkError(Exception):
    """The work failed through no fault of the input. The message says what was being done and what is safe."""


def first_fault(err: ValidationError) -> str:
    """`KEY: GOT; expected WHAT` for the first thing a settings model found wrong."""
    fault = err.errors(include_url=False)[0]
    key = _dotted(fault["loc"])
    message = fault["msg"].removeprefix("Value error, ")
    if fault["type"] == "extra_forbidden":
        return f"{key}: unknown key; expected none of this name"
    if fault["type"] == "missing":
        return f"{key}: missing; expected a value"
    if fault["type"] == "value_error":
        # Our own validators name what lies below the key that pydantic names.
        return ": ".join(part for part in (key, message) if part)
    got = fault.get("input")
    shown = type(got).__name__ if isinstance(got, dict | list) else repr(got)
    return f"{key}: {shown}; expected: {message[0].lower()}{message[1:]}"


# Pydantic names the member of a union it tried; to the user `corpus.an4.root` is `corpus.root`.
_UNION_MEMBERS = {"an4", "librispeech", "voxceleb", "manifest", "shar", "synthetic", "labelled", "intents", "slurp"}
_UNION_MEMBERS |= {"speech-commands", "commonvoice"}
_UNION_MEMBERS |= {"several", "phonemes", "asr", "speaker", "classification", "intent", "train", "ready", "str"}
_UNION_MEMBERS |= {"waveform", "logmel", "Blocks", "list", "MethodChoice"}


def _dotted(loc: tuple[int | str, ...]) -> str:
    key = ""
    for depth, part in enumerate(loc):
        if isinstance(part, int):
            key += f"[{part}]"
        elif depth == 0 or not (part.partition("[")[0] in _UNION_MEMBERS or loc[: depth + 1] == ("teacher", "train")):
            key += f".{part}" if key else part
    return key
