"""What the mirror is given: a search as its study and its folder hold it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raysearch.front.document import SearchDocument


@dataclass(frozen=True)
class SearchState:
    document: SearchDocument
    spec: Mapping[str, Any]
    """The resolved search document."""
    spec_hash: str
    """With the name it says which search this is; it must not change in a search's life."""
    versions: Mapping[str, str]
    git_commit: str | None
    seed: int
    folder: Path
    curves: Callable[[int], list[dict[str, Any]]]
    """Trial number -> lines `{"step", "seconds", "metrics"}`, in order, seconds since the trial's start."""
    importances: Callable[[], Mapping[str, Mapping[str, float]]]
    """Objective -> setting -> its share in what makes trials good; empty while there are too few."""
    finished: bool
    """No trial is running and none is to come."""
