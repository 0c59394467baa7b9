"""What ends a search through no fault of its own, and how to go on after it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from raysearch.errors import AwayError, CutOffError, DiskFullError, WorkError
from raysearch.files.disk import full_disk
from raysearch.storage.folder import SearchFolder


@contextmanager
def told_how_to_go_on(folder: SearchFolder) -> Iterator[None]:
    """Runs a search within the block. Whatever ends it from outside is told in one line, with the way on.

    Raises: WorkError or CutOffError with that line. A KeyboardInterrupt gets it as a note.
    """
    resume = folder.resume_command
    try:
        yield
    except KeyboardInterrupt as err:
        err.add_note(f"nothing is lost, continue with: {resume}")
        raise
    except CutOffError as err:
        raise CutOffError(f"{err}; nothing is lost, continue with: {resume}") from err
    except AwayError as err:
        raise WorkError(f"{err}; once it answers: {resume}") from err
    except DiskFullError as err:
        raise WorkError(f"{err}; nothing is lost: free some space, then: {resume}") from err
    except Exception as err:
        if full := full_disk(err, f"below {folder.path}"):
            raise WorkError(f"{folder.name}: {full}; nothing is lost: free some space, then: {resume}") from err
        raise
