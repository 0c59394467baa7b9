"""A record: one small file that says what a search asked, what came of every trial, cut by cut, and with what software.

It holds no weights and no curves. Verbs that read a search, such as `front` and `compare`, read a record as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from raysearch.errors import InputError
from raysearch.evidence.kept import Packed
from raysearch.files.gzipped import read_gzip, write_gzip
from raysearch.front.document import SearchDocument
from raysearch.settings import Outcome

SUFFIX = ".json.gz"


class Record(Outcome):
    """What the file of a record holds."""

    document: SearchDocument
    """The outcome of the search: its trials and its front."""
    spec: dict[str, Any]
    """The resolved search document. Its paths are relative to the folder in which the record was written."""
    spec_hash: str
    """Digest of the search document."""
    seed: int
    """Seed of the whole search."""
    versions: dict[str, str]
    """Versions of Python and of the libraries that matter, by name."""
    git_commit: str | None
    """Commit of the code that ran; None outside a git checkout."""
    evidence: Packed | None = None
    """The errors of trials cut by cut. None in records of earlier versions."""

    @model_validator(mode="after")
    def _handed_out(self) -> Record:
        """Gives every trial its own errors, without which the document cannot tell trials of two searches apart."""
        if self.evidence is not None:
            trials = [
                trial.model_copy(update={"evidence": self.evidence.of_trial(trial.number)})
                for trial in self.document.trials
            ]
            # The model is frozen, but not yet given to anybody.
            self.__dict__["document"] = self.document.model_copy(update={"trials": trials})
        return self


def write_record(record: Record, path: Path) -> None:
    """Writes a record. The same search gives the same bytes."""
    write_gzip(path, record.model_dump_json().encode())


def read_record(path: Path) -> Record:
    """Reads a record. Raises: InputError if the file is none."""
    content = read_gzip(path, "a file written by: raysearch record")
    try:
        return Record.checked_json(content)
    except InputError as err:
        raise InputError(f"{path}: {err}") from err
