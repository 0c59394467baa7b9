"""The one way in which readers take up text: lines, tables, JSON lines, and the values that stand in them.

Files are UTF-8, with or without a byte-order mark, and their lines end as on Unix, Windows or old Macs. Whatever else
Unicode calls a line end (U+2028, U+0085) is white space within a line. Characters of no width are no speech, so they
are dropped from what was said.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import unicodedata
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from raysearch.errors import InputError, clipped, counted
from raysearch.files.gzipped import unpacked
from raysearch.files.stand_ins import stand_in

EMPTY = "empty transcript"
"""Reason why a cut is left out whose transcript has no letter and no digit."""
AUDIO = (".flac", ".wav")
"""Suffixes of recordings that are looked for in folders, in small letters."""
_NO_WIDTH = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\u2066-\u2069\ufeff]")


def read_text(path: Path, key: str, expected: str) -> str:
    """The text of a file, with plain line ends. `key` names the setting of the file.

    Raises: InputError if the file cannot be read or is not UTF-8.
    """
    try:
        content = path.read_bytes()
        if found := stand_in(content):
            raise InputError(f"{key}: {path}: {found}")
        return decoded(content)
    except OSError as err:
        raise InputError(f"{key}: {path}: {err.strerror}; expected {expected}") from err
    except UnicodeDecodeError as err:
        raise InputError(f"{key}: {path}: not UTF-8; expected {expected}") from err


def decoded(content: bytes) -> str:
    """The text of these bytes, with plain line ends. Raises: UnicodeDecodeError if they are not UTF-8."""
    return content.decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")


def numbered(text: str) -> Iterator[tuple[int, str]]:
    """The number and the text of each line that is not blank."""
    for number, line in enumerate(text.split("\n"), start=1):
        if _NO_WIDTH.sub("", line).strip():
            yield number, line


def read_table(
    path: Path, key: str, columns: Sequence[str], delimiter: str = ",", quoted: bool = True
) -> Iterator[tuple[int, dict[str, str], str | None]]:
    """The line number, the cells by column, and what is wrong with each row of a table. A missing cell is empty.

    Raises: InputError if the table cannot be read or lacks one of these columns.
    """
    expected = f"a {'CSV' if delimiter == ',' else 'table'} of {', '.join(columns)}"
    text = read_text(path, key, expected)
    if delimiter == ",":
        delimiter = _delimiter(text.partition("\n")[0])
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE)
    try:
        names = [name.strip() for name in next(reader, [])]
        if missing := [column for column in columns if column not in names]:
            raise InputError(f"{key}: {path}: no column {missing[0]}; expected {', '.join(columns)}")
        for cells in reader:
            if not any(map(str.strip, cells)):
                continue
            # Cells that are too many show that the columns are shifted, unless they are empty.
            shifted = any(map(str.strip, cells[len(names) :]))
            fault = f"line {reader.line_num}: {counted(len(cells), 'cell')}; expected {len(names)}" if shifted else None
            yield reader.line_num, {**dict.fromkeys(names, ""), **dict(zip(names, cells, strict=False))}, fault
    except csv.Error as err:
        raise InputError(f"{key}: {path}: line {reader.line_num}: {err}; expected {expected}") from err


def _delimiter(head: str) -> str:
    """What stands between the columns of a CSV. Excel writes semicolons where numbers have a decimal comma."""
    return next((one for one in ",;\t" if one in head), ",")


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
