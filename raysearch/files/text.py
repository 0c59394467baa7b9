"""The one way in which text files and tables that people wrote are read.

Files are UTF-8, with or without a byte-order mark, and their lines end as on Unix, Windows or old Macs.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

from raysearch.errors import InputError, counted
from raysearch.files.stand_ins import stand_in


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
