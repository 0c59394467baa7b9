"""The search and encoder documents that come with raysearch, and the file that a word on the command line means."""

from __future__ import annotations

import os
import re
from itertools import takewhile
from pathlib import Path

from raysearch.errors import InputError, did_you_mean

SPACES = "search_spaces"
ENCODERS = "encoders"
KINDS = {SPACES: "a search document", ENCODERS: "an encoder document"}
FOR_EDITORS = "# yaml-language-server:"
"""Beginning of the line that tells an editor where the schema of a document lies."""
PACKAGE = Path(__file__).parents[1]


def bundled(folder: str) -> dict[str, Path]:
    """The documents of one folder, `SPACES` or `ENCODERS`: name -> file, in the order of their names.

    A built package holds the folders. In a checkout, where they are edited, they lie beside the package.
    """
    inside = PACKAGE / folder
    place = inside if inside.is_dir() else PACKAGE.parent / folder
    return {file.stem: file for file in sorted(place.glob("*.yaml"))}


def find_document(given: Path, *folders: str) -> Path:
    """The file that is given, or the document of this name in the folders if there is no such file.

    Raises: InputError if there is neither.
    """
    known = {name: file for folder in folders for name, file in bundled(folder).items()}
    if str(given) in known and not os.path.isfile(given):
        return known[str(given)]
    try:
        given.stat()
    except OSError as err:
        wanted = " or ".join(KINDS[folder] for folder in folders)
        hint = did_you_mean(given.stem, known)
        raise InputError(
            f"{given}: {err.strerror}; expected {wanted}, or a name from `raysearch spaces`{hint}"
        ) from err
    return given


def purpose(document: Path) -> str:
    """The first sentence of the comment that a document begins with; empty if it begins with none."""
    lines = [line for line in document.read_text(encoding="utf-8").splitlines() if not line.startswith(FOR_EDITORS)]
    comment = " ".join(line.lstrip("# ") for line in takewhile(lambda line: line.startswith("#"), lines))
    return re.split(r"(?<=[.?!]) ", comment, maxsplit=1)[0]
