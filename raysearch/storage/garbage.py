"""Finds and removes what nobody needs any more.

That is: label sets and log-mel bins that no search has asked for in a long time, and the checkpoints from which ended
trials could have resumed. The student and the heads of every trial stay. All files stay of trials that are on a front
or still running.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection
from dataclasses import dataclass

from raysearch.errors import InputError
from raysearch.storage.folder import SearchFolder

CHECKPOINTS = "checkpoints"
"""Name of the folder in a trial's folder from which the trial resumes."""


@dataclass(frozen=True)
class Garbage:
    """What may be removed."""

    label_sets: dict[str, int]
    """Size in bytes of each label set, by its digest."""
    mels: dict[str, int]
    """Size in bytes of each folder of log-mel bins, by its digest."""
    checkpoints: dict[tuple[str, int], int]
    """Size in bytes of the checkpoints of each trial, by name of the search and number of the trial."""

    @property
    def bytes(self) -> int:
        """Bytes that removing all of it sets free."""
        return sum(sum(sizes.values()) for sizes in (self.label_sets, self.mels, self.checkpoints))


def find_garbage(place: SearchFolder, before_s: float, ended: Callable[[SearchFolder], Collection[int]]) -> Garbage:
    """Finds garbage in all searches that lie where `place` does; the name in `place` does not matter.

    Label sets and bins are garbage if nobody has asked for them since the Unix time `before_s`. `ended(folder)` gives
    the trials of a search that have ended and are not on its front. If it raises InputError, the search has no study
    yet.
    """
    checkpoints: dict[tuple[str, int], int] = {}
    for name in place.searches():
        folder = SearchFolder(place.root, name, place.uri)
        folder.fetch()
        try:
            numbers = ended(folder)
        except InputError:
            continue  # without a study no trial has ended
        for number in numbers:
            if size := _size(folder, number):
                checkpoints[name, number] = size
    return Garbage(place.store.label_sets.folders.unused(before_s), place.store.mels.unused(before_s), checkpoints)


def remove_garbage(place: SearchFolder, garbage: Garbage) -> None:
    """Removes what `find_garbage` found, also at the URI if there is one."""
    place.store.label_sets.folders.remove(garbage.label_sets)
    place.store.mels.remove(garbage.mels)
    for name, number in garbage.checkpoints:
        folder = SearchFolder(place.root, name, place.uri)
        if remote := folder.remote:
            remote.delete(f"trials/{number:04d}/{CHECKPOINTS}")
        shutil.rmtree(folder.trial(number) / CHECKPOINTS, ignore_errors=True)


def _size(folder: SearchFolder, number: int) -> int:
    """Size in bytes of a trial's checkpoints."""
    if remote := folder.remote:
        return sum(remote.files(f"trials/{number:04d}/{CHECKPOINTS}").values())
    files = (folder.trial(number) / CHECKPOINTS).rglob("*")
    return sum(path.stat().st_size for path in files if path.is_file())
