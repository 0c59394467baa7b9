"""The two ways a command ends badly: the user's input is wrong (exit 2), or the work failed (exit 1)."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic import ValidationError


class InputError(Exception):
    """The user's input is wrong. The message is one line: `FILE: KEY: GOT; expected WHAT`."""


class WorkError(Exception):
    """The work failed through no fault of the input. The message says what was being done and what is safe."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message, ` (did you mean WORD?)`, if one of the known words is close to `word`. Else it is empty."""
    close = get_close_matches(word, known, n=1)
    return f" (did you mean {close[0]}?)" if close else ""


def counted(count: int, thing: str) -> str:
    """A number with its noun, such as `1 cut` or `2,000 cuts`."""
    return f"{count:,} {thing}{'' if count == 1 else 's'}"


def first_fault(err: ValidationError) -> str:
    """The text `KEY: GOT; expected WHAT` for the first thing that a settings model found wrong."""
    faults = err.errors(include_url=False)
    mine = [one for one in faults if one["loc"][:1] == faults[0]["loc"][:1]]
    # Every member of a union complains. The one that got deepest into the document is the one that was meant.
    fault = max(mine, key=lambda one: len(one["loc"]) + (one["type"] == "unknown_key"))
    key, message, context = _dotted(fault["loc"]), fault["msg"].removeprefix("Value error, "), fault.get("ctx", {})
    match fault["type"]:
        case "unknown_key":
            return f"{key}.{message}" if key else message
        case "json_invalid":
            return f"no JSON ({context['error']}); expected a whole document"
        case "missing":
            return f"{key}: missing; expected a value"
        case "value_error":
            # Our own validators name what lies below the key that pydantic names.
            return ": ".join(part for part in (key, message) if part)
        case "bool_parsing" | "bool_type":
            others = [
                one["ctx"]["expected"] for one in mine if one["type"] == "literal_error" and _dotted(one["loc"]) == key
            ]
            *words, last = ["true", "false", *(other.strip("'") for other in others)]
            message = f"{', '.join(words)} or {last}"
        case "union_tag_not_found":
            return f"{key}.kind: missing; expected a value"
        case "union_tag_invalid":
            return f"{key}.kind: {context['tag']!r}; expected one of {context['expected_tags']}"
        case "model_type" | "model_attributes_type" | "dict_type":
            message = "a mapping of keys to values"
        case "tuple_type" | "list_type":
            message = "a list"
        case "string_pattern_mismatch":
            message = f"text of the pattern {context['pattern']}"
    got = fault.get("input")
    shown = type(got).__name__ if isinstance(got, dict | list) else repr(got)
    # Pydantic says "Input should be ..." and "List should have ..."
    expected = message.partition(" should ")[2].removeprefix("be ").removeprefix("have ") or message
    return ": ".join(part for part in (key, f"{shown}; expected {expected}") if part)


# Pydantic names the member of a union it tried; to the user `corpus.an4.root` is `corpus.root`.
_UNION_MEMBERS = {"an4", "librispeech", "voxceleb", "manifest", "shar", "synthetic", "labelled", "intents", "slurp"}
_UNION_MEMBERS |= {"speech-commands", "commonvoice"}
_UNION_MEMBERS |= {"several", "phonemes", "asr", "speaker", "classification", "intent", "train", "ready", "str"}
_UNION_MEMBERS |= {"tagged-union", "bool", "literal"}
_UNION_MEMBERS |= {"waveform", "logmel", "Blocks", "list", "MethodChoice"}


def _dotted(loc: tuple[int | str, ...]) -> str:
    key = ""
    for depth, part in enumerate(loc):
        if isinstance(part, int):
            key += f"[{part}]"
        elif depth == 0 or not (part.partition("[")[0] in _UNION_MEMBERS or loc[: depth + 1] == ("teacher", "train")):
            key += f".{part}" if key else part
    return key
