"""The state of a search as its study and its folder hold it. The mirror writes it to MLflow."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from raysearch.front.document import SearchDocument


@dataclass(frozen=True)
class SearchState:
    """All that the mirror knows of a search at one moment."""

    document: SearchDocument
    """The trials and the front."""
    spec: Mapping[str, Any]
    """The resolved search document."""
    spec_hash: str
    """Digest of the search document. With name and token it says which search this is, so it must never change."""
    versions: Mapping[str, str]
    """Versions of Python and of the libraries that matter, by name."""
    git_commit: str | None
    """Commit of the code that runs; None outside a git checkout."""
    seed: int
    """Seed of the whole search."""
    folder: Path
    """Folder of the search."""
    curves: Callable[[int], list[dict[str, Any]]]
    """Reads the curve of a trial by its number: lines `{"step", "seconds", "metrics"}`, seconds since its start."""
    shared_curves: Callable[[str], list[dict[str, Any]]]
    """Reads the curve of a training that trials share, by its digest."""
    importances: Callable[[], Mapping[str, Mapping[str, float]]]
    """Computes, for each objective, the share that each setting has in what makes trials good.

    It is empty while there are too few trials.
    """
    finished: bool
    """Whether the search has ended: no trial is running, and none is to come."""
    abandoned: Literal["", "interrupted", "failed"] = ""
    """How the driver of a search ended that has not finished. Empty while it lives."""
    token: str = ""
    """What tells this search from others of its name. Earlier versions had none."""
