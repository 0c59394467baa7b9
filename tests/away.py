"""A store at a URI that does not answer any more."""

from __future__ import annotations

from typing import Any

import pytest
from fsspec.implementations.memory import MemoryFileSystem

SAID = "AWS Error NETWORK_CONNECTION: Could not connect to server"
"""What pyarrow says of an S3 that is away. Such an error has no number."""


def memory_is_away(patch: pytest.MonkeyPatch) -> None:
    """Until the patch is undone, nothing below `memory://` can be read or written."""

    def gone(*args: Any, **kwargs: Any) -> None:
        raise OSError(SAID)

    for name in ("open", "isfile", "isdir", "info", "find", "ls", "rm_file", "makedirs"):
        patch.setattr(MemoryFileSystem, name, gone)
