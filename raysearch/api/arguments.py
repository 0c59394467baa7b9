"""What the functions of the face take alike: where searches lie, who listens, and which words an argument may be."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from raysearch.errors import InputError

if TYPE_CHECKING:
    import torch

    from raysearch.spec.document import Spec
    from raysearch.storage.folder import SearchFolder

Say = Callable[[str], None]
"""Hears what is going on, a line at a time."""


def say(line: str) -> None:
    """Prints on stderr, so that stdout is left to data."""
    print(line, file=sys.stderr, flush=True)


def aloud(say: Say) -> Say:
    """The same, but on the stdout of now: while lanes run, all that is printed there is taken for Ray's and dropped."""
    stdout, turn = sys.stdout, Lock()

    def say_aloud(line: str) -> None:
        # Several threads speak. Of two at once, the first to end would take stdout away from the other.
        with turn, redirect_stdout(stdout):
            say(line)

    return say_aloud


def storage_or_default(storage: str | Path | None) -> str | None:
    """The storage that was named, or else the one that `RAYSEARCH_STORAGE` names; None stands for a folder here."""
    return str(storage or os.environ.get("RAYSEARCH_STORAGE", "")) or None


def tracking_or_default(tracking: str | None) -> str | None:
    """The MLflow that was named, or else the one that `MLFLOW_TRACKING_URI` names."""
    return tracking or os.environ.get("MLFLOW_TRACKING_URI") or None


def place(storage: str | Path | None, name: str = "") -> SearchFolder:
    """The folder of a search in a storage; without a name, the place of all its searches and of their store."""
    from raysearch.storage.folder import SearchFolder

    return SearchFolder.of(storage_or_default(storage), name)


def spec_of(spec: Spec | str | Path, name: str | None = None) -> Spec:
    """The search document itself, or the one in a file; `name` is the search's name instead of the document's."""
    from raysearch.spec.loading import load_spec, parse_spec

    if isinstance(spec, str | Path):
        return load_spec(Path(spec), name=name)
    if name is None:
        return spec
    document = spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    return parse_spec({**document, "name": name}, where=spec.name)


def device(*, gpu: bool) -> torch.device:
    """This machine's GPU where it has one that may be used, else its CPU."""
    import torch

    return torch.device("cuda" if gpu and torch.cuda.is_available() else "cpu")


def choices(option: str, given: str | Sequence[str], known: Sequence[str]) -> list[Any]:
    """The words given, each once.

    Raises: InputError naming the option if one of them is not known.
    """
    words = [given] if isinstance(given, str) else given
    for word in words:
        if word not in known:
            raise InputError(f"{option}: {word}; expected one of {', '.join(known)}")
    return list(dict.fromkeys(words))
