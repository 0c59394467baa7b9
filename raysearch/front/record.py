"""A search in one small file: what was asked, what came of every trial, and with what software. No weights, no curves.

Fronts, comparisons and pictures are drawn from it as from the search itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raysearch.errors import InputError
from raysearch.files.gzipped import read_gzip, write_gzip
from raysearch.front.document import SearchDocument
from raysearch.settings import Settings

SUFFIX = ".json.gz"


class Record(Settings):
    """What a file holds."""

    document: SearchDocument
    """The search and its front."""
    spec: dict[str, Any]
    """The resolved search document; its paths are relative to where the record was written."""
    spec_hash: str
    """Of the search document."""
    seed: int
    """Of the whole search."""
    versions: dict[str, str]
    """Of Python and the libraries that matter."""
    git_commit: str | None
    """What ran; None outside a checkout."""


def write_record(record: Record, path: Path) -> None:
    """The same search is the same bytes."""
    write_gzip(path, record.model_dump_json().encode())


def read_record(path: Path) -> Record:
    """Raises: InputError if the file is no record."""
    content = read_gzip(path, "a file written by: raysearch record")
    try:
        return Record.checked_json(content)
    except InputError as err:
        raise InputError(f"{path}: {err}") from err
