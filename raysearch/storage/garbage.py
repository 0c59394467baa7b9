"""What may be thrown away: label sets and log-mel bins that nothing has asked for in a long time, and the resume states
of ended trials.

Students and heads stay, of every trial; of the front's trials everything stays, and of running ones too.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass

from raysearch.errors import InputError
from raysearch.storage.folder import SearchFolder

CHECKPOINTS = "checkpoints"


@dataclass(frozen=True)
class Garbage:
    label_sets: dict[str, int]
    """Bytes by digest."""
    mels: dict[str, int]
    """Bytes by digest."""
    checkpoints: dict[tuple[str, int], int]
    """Bytes by search and trial."""

    @property
    def bytes(self) -> int:
        return sum(sum(sizes.values()) for sizes in (self.label_sets, self.mels, self.checkpoints))


def find_garbage(place: SearchFolder, before_s: float, ended: Callable[[SearchFolder], Collection[int]]) -> Garbage:
    """What may go in all searches of a place; label sets and bins if nothing asked for them since a time.

    `ended(folder)` gives the trials of a search that have ended and are not on its front; InputError from it means that
    the search has no study yet. `place.name` is not looked at.
    """
    checkpoints: dict[tuple[str, int], int] = {}
    for name in place.searches():
        folder = SearchFolder(place.root, name, place.uri)
        folder.fetch()
        try:
            numbers = ended(folder)
        except InputError:
            continue  # it has no study yet: nothing ended
        for number in numbers:
            if size := _size(folder, number):
                checkpoints[name, number] = size
    return Garbage(place.store.label_sets.folders.unused(before_s), place.store.mels.unused(before_s), checkpoints)


def remove_garbage(place: SearchFolder, garbage: Garbage) -> None:
    place.store.label_sets.folders.remove(garbage.label_sets)
    place.store.mels.remove(garbage.mels)
    for name, number in garbage.checkpoints:
        folder = SearchFolder(place.root, name, place.uri)
        if remote := folder.remote:
            remote.delete(f"trials/{number:04d}/{CHECKPOINTS}")
        shutil.rmtree(folder.trial(number) / CHECKPOINTS, ignore_errors=True)


def _size(folder: SearchFolder, number: int) -> int:
    if remote := folder.remote:
        return sum(remote.files(f"trials/{number:04d}/{CHECKPOINTS}").values())
    files = (folder.trial(number) / CHECKPOINTS).rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())
