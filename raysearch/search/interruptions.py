"""What ends a search through no fault of its own, and how to go on after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from raysearch.errors import AwayError, WorkError
from raysearch.files.disk import full_disk


@contextmanager
def told_how_to_go_on(search: str, folder: Path) -> Iterator[None]:
    """Runs a search within the block. A full disk or a database that is away is told in one line, with the way on.

    Raises: WorkError with that line.
    """
    resume = f"raysearch resume {search}"
    try:
        yield
    except AwayError as err:
        raise WorkError(f"{err}; once it answers: {resume}") from err
    except Exception as err:
        if full := full_disk(err, f"below {folder}"):
            raise WorkError(f"{search}: {full}; nothing is lost: free some space, then: {resume}") from err
        raise
