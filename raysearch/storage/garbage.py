"""Finds and removes what nobody needs any more.

That is: what is made from teachers and corpora and no search has asked for in a long time, and the checkpoints from
which ended trials could have resumed. Teachers stay, and the student and the heads of every trial. All files stay of
trials that are on a front or still running.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from raysearch.errors import AwayError, InputError, WorkError
from raysearch.storage.folder import SearchFolder
from raysearch.targets.store import FolderStore

T = TypeVar("T")
STORED = {
    "label_sets": "label sets",
    "pseudo_labels": "pseudo-labels",
    "mels": "log-mel bins of corpora",
    "features": "features",
    "heads": "heads",
    "trainings": "shared trainings",
}
"""What the store holds that can be made again: the names of its kinds, and what people call them."""
CHECKPOINTS = "checkpoints"
"""Name of the folder in a trial's folder from which the trial resumes."""


@dataclass(frozen=True)
class Garbage:
    """What may be removed."""

    stored: dict[str, dict[str, int]]
    """Size in bytes of each folder of the store, by its name, for every kind in `STORED`. The name of a whole folder is
    its digest."""
    checkpoints: dict[tuple[str, int], int]
    """Size in bytes of the checkpoints of each trial, by name of the search and number of the trial."""
    unread: dict[str, str] = field(default_factory=dict)
    """Why a search could not be read, by its name. All that it has is kept."""
    stuck: dict[str, str] = field(default_factory=dict)
    """Why something could not be removed, by what it is."""

    @property
    def bytes(self) -> int:
        """Bytes that removing all of it sets free."""
        return sum(self.checkpoints.values()) + sum(sum(sizes.values()) for sizes in self.stored.values())


def find_garbage(place: SearchFolder, before_s: float, ended: Callable[[SearchFolder], Collection[int]]) -> Garbage:
    """Finds garbage in all searches that lie where `place` does; the name in `place` does not matter.

    What lies in the store is garbage if nobody has asked for it since the Unix time `before_s`. `ended(folder)` gives
    the trials of a search that have ended and are not on its front. A search of which it raises InputError or WorkError
    has no study yet, or one that cannot be read: the others do not suffer from that.
    """
    checkpoints: dict[tuple[str, int], int] = {}
    unread: dict[str, str] = {}
    for name in place.searches():
        folder = SearchFolder(place.root, name, place.uri)
        try:
            folder.fetch()
            numbers = ended(folder)
        except (InputError, WorkError) as err:
            unread[name] = str(err)
            continue
        for number in numbers:
            if size := _size(folder, number):
                checkpoints[name, number] = size
    stored = {kind: folders.unused(before_s) for kind, folders in _stores(place).items()}
    return Garbage(stored, checkpoints, unread)


def remove_garbage(place: SearchFolder, garbage: Garbage) -> Garbage:
    """Removes what `find_garbage` found, also at the URI if there is one. Returns what is gone, and what is stuck."""

    def remove_checkpoints(trial: tuple[str, int]) -> None:
        folder, number = SearchFolder(place.root, trial[0], place.uri), trial[1]
        if remote := folder.remote:
            remote.delete(f"trials/{number:04d}/{CHECKPOINTS}")
        with suppress(FileNotFoundError):
            shutil.rmtree(folder.trial(number) / CHECKPOINTS)

    stuck: dict[str, str] = {}
    stores, checkpoints = _stores(place), _removed(garbage.checkpoints, remove_checkpoints, stuck)
    stored = {kind: _removed(sizes, stores[kind].remove, stuck) for kind, sizes in garbage.stored.items()}
    return replace(garbage, stored=stored, checkpoints=checkpoints, stuck=stuck)


def _stores(place: SearchFolder) -> dict[str, FolderStore]:
    """The stores of what can be made again, by the names in `STORED`."""
    store = place.store
    return {
        "label_sets": store.label_sets.folders,
        "pseudo_labels": store.pseudo_labels,
        "mels": store.mels,
        "features": store.features,
        "heads": store.heads,
        "trainings": store.trainings,
    }


def _removed(sizes: dict[T, int], remove: Callable[[T], None], stuck: dict[str, str]) -> dict[T, int]:
    """Those that could be removed. The reasons why others could not are put into `stuck`."""
    gone: dict[T, int] = {}
    for key, size in sizes.items():
        try:
            remove(key)
        except AwayError as err:
            stuck[str(key)] = str(err)
        except OSError as err:
            stuck[str(err.filename or key)] = err.strerror or str(err)
        else:
            gone[key] = size
    return gone


def _size(folder: SearchFolder, number: int) -> int:
    """Size in bytes of a trial's checkpoints."""
    if remote := folder.remote:
        return sum(remote.files(f"trials/{number:04d}/{CHECKPOINTS}").values())
    files = (folder.trial(number) / CHECKPOINTS).rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())
