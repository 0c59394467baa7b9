"""The one way in which readers take up what was said: lines, JSON lines, and the values that stand in them.

What Unicode alone calls a line end (U+2028, U+0085) is white space within a line. Characters of no width are no speech,
so they are dropped from what was said.
"""

from __future__ import annotations

import json
import math
import re
import unicodedata
import zlib
from collections.abc import Iterator
from pathlib import Path

from raysearch.errors import InputError, clipped
from raysearch.files.gzipped import unpacked
from raysearch.files.stand_ins import stand_in
from raysearch.files.text import decoded

EMPTY = "empty transcript"
"""Reason why a cut is left out whose transcript has no letter and no digit."""
AUDIO = (".flac", ".wav")
"""Suffixes of recordings that are looked for in folders, in small letters."""
_NO_WIDTH = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """The number and the text of each line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if _NO_WIDTH.sub("", line).strip():
            yield number, line


def json_lines(content: bytes, where: str) -> Iterator[tuple[int, object]]:
    """The number and the document of each line of a file, which may be packed by gzip.

    Raises: InputError, which begins with `where`, if it is no such file, or unpacks to far more than its size.
    """
    number = 0
    if found := stand_in(content):
        raise InputError(f"{where}: {found}")
    try:
        for number, line in numbered(decoded(unpacked(content) if content[:2] == b"\x1f\x8b" else content)):
            yield number, json.loads(line)
    except UnicodeDecodeError as err:
        raise InputError(f"{where}: not UTF-8; expected JSON lines in UTF-8") from err
    except (ValueError, OSError, EOFError, zlib.error, RecursionError) as err:
        place = f"line {number}: " if number else ""
        reason = err.msg if isinstance(err, json.JSONDecodeError) else err
        raise InputError(f"{where}: {place}{reason}; expected JSON lines in UTF-8") from err


def as_text(value: object) -> str | None:
    """A value of JSON that must be a text. A number is read as one: speakers and labels often are numbers.

    Raises: ValueError, `GOT; expected a text`, for what is no text, NaN included.
    """
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float) and math.isfinite(value):
        return str(int(value)) if value.is_integer() else str(value)
    raise ValueError(f"{clipped(json.dumps(value))}; expected a text")


def as_number(value: object) -> float:
    """A value of JSON that must be a number. Raises: ValueError, `GOT; expected a number`, if it is none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{clipped(json.dumps(value))}; expected a number")
    return value


def words_of(text: str) -> list[str]:
    """The words of a transcript, in capitals. There are none if no character is a letter or a digit."""
    plain = _NO_WIDTH.sub("", text)
    return plain.upper().split() if any(map(str.isalnum, plain)) else []


def without_punctuation(text: str) -> str:
    """The text with blanks in place of punctuation, except for apostrophes and hyphens. Accents belong to letters."""
    return "".join(one if _spoken(one) else " " for one in _NO_WIDTH.sub("", text))


def is_recording(path: Path) -> bool:
    """Whether a file in a folder is a recording. Hidden files are none, such as the `._` files of a Mac."""
    return path.suffix.lower() in AUDIO and not path.name.startswith(".")


def _spoken(one: str) -> bool:
    return one in "'’-_" or one.isalnum() or unicodedata.category(one).startswith("M")
