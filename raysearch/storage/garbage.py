"""Finds and removes what nobody needs any more.

That is: label sets, log-mel bins and hidden states of teachers that no search has asked for in a long time, and the
checkpoints from which ended trials could have resumed. The student and the heads of every trial stay. All files stay
of trials that are on a front or still running.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import TypeVar

from raysearch.errors import InputError, WorkError
from raysearch.storage.folder import SearchFolder

T = TypeVar("T")
CHECKPOINTS = "checkpoints"
"""Name of the folder in a trial's folder from which the trial resumes."""


@dataclass(frozen=True)
class Garbage:
    """What may be removed."""

    label_sets: dict[str, int]
    """Size in bytes of each label set, by the name of its folder, which is its digest if it is whole."""
    mels: dict[str, int]
    """Size in bytes of each folder of log-mel bins, by its digest."""
    features: dict[str, int]
    """Size in bytes of each folder of a teacher's hidden states, by its digest."""
    checkpoints: dict[tuple[str, int], int]
    """Size in bytes of the checkpoints of each trial, by name of the search and number of the trial."""
    unread: dict[str, str] = field(default_factory=dict)
    """Why a search could not be read, by its name. All that it has is kept."""
    stuck: dict[str, str] = field(default_factory=dict)
    """Why something could not be removed, by what it is."""

    @property
    def bytes(self) -> int:
        """Bytes that removing all of it sets free."""
        return sum(sum(sizes.values()) for sizes in (self.label_sets, self.mels, self.features, self.checkpoints))


def find_garbage(place: SearchFolder, before_s: float, ended: Callable[[SearchFolder], Collection[int]]) -> Garbage:
    """Finds garbage in all searches that lie where `place` does; the name in `place` does not matter.

    Label sets, bins and hidden states are garbage if nobody has asked for them since the Unix time `before_s`.
    `ended(folder)` gives the trials of a search that have ended and are not on its front. A search of which it raises
    InputError or WorkError has no study yet, or one that cannot be read: the others do not suffer from that.
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
    store = place.store
    label_sets, mels = store.label_sets.folders.unused(before_s), store.mels.unused(before_s)
    return Garbage(label_sets, mels, store.features.unused(before_s), checkpoints, unread)


def remove_garbage(place: SearchFolder, garbage: Garbage) -> Garbage:
    """Removes what `find_garbage` found, also at the URI if there is one. Returns what is gone, and what is stuck."""

    def remove_checkpoints(trial: tuple[str, int]) -> None:
        folder, number = SearchFolder(place.root, trial[0], place.uri), trial[1]
        if remote := folder.remote:
            remote.delete(f"trials/{number:04d}/{CHECKPOINTS}")
        with suppress(FileNotFoundError):
            shutil.rmtree(folder.trial(number) / CHECKPOINTS)

    stuck: dict[str, str] = {}
    return replace(
        garbage,
        label_sets=_removed(garbage.label_sets, place.store.label_sets.folders.remove, stuck),
        mels=_removed(garbage.mels, place.store.mels.remove, stuck),
        features=_removed(garbage.features, place.store.features.remove, stuck),
        checkpoints=_removed(garbage.checkpoints, remove_checkpoints, stuck),
        stuck=stuck,
    )


def _removed(sizes: dict[T, int], remove: Callable[[T], None], stuck: dict[str, str]) -> dict[T, int]:
    """Those that could be removed. The reasons why others could not are put into `stuck`."""
    gone: dict[T, int] = {}
    for key, size in sizes.items():
        try:
            remove(key)
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
