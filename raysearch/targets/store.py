"""Stores of folders that are named by a hash of what they were made from. Each is built once and shared by all.

A folder that is not as it was when it was built, because a disk was full or failed, is built again.
A store lies on a file system that all workers see, or at a URI of which each node has a copy. Processes of one node
wait for each other by `flock`. Processes of several nodes wait by a `Flight`, because not every shared file system
knows locks.
"""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from raysearch.files.remote import Remote
from raysearch.files.seal import damage, seal
from raysearch.files.whole import PART, first_folder, growing_folder, whole_folder

if TYPE_CHECKING:
    from raysearch.targets.label_set import LabelKey, LabelSet

_log = logging.getLogger(__name__)

STORE = "_store"
"""Name of the store beside the searches."""
STATES_NAME = "states.fp16"
"""Name of the file of hidden states. It is large, and whoever reads it compares a checksum for each cut."""
_MARKER = "complete"
"""Name of the file that makes a folder count. It holds the folder's seal."""

Flight = Callable[[str], AbstractContextManager[object]]
"""Function from a name to a lock on that name over all nodes."""


@dataclass(frozen=True)
class Store:
    """The store that searches share: teachers, their heads and states, label sets, bins, what is known of corpora, and
    trainings that many trials begin from."""

    folder: Path
    uri: str = ""
    """URI at which the store really lies. The folder is then a copy of it. It is empty if the folder is the store."""
    flight: Flight = nullcontext

    @property
    def corpora(self) -> Path:
        """The folder of verdicts on audio files and of synthetic speech.

        Every node has its own, because it is quickly made again.
        """
        return self.folder / "corpora"

    @property
    def teachers(self) -> FolderStore:
        """The teachers that were trained or imported."""
        return self._folders("teachers")

    @property
    def heads(self) -> FolderStore:
        """The heads that were trained on teachers before students were."""
        return self._folders("heads")

    @property
    def label_sets(self) -> LabelStore:
        """The label sets of all corpora."""
        return LabelStore(self._folders("label_sets"))

    @property
    def pseudo_labels(self) -> FolderStore:
        """The pseudo-labels of all corpora."""
        return self._folders("pseudo_labels")

    @property
    def trainings(self) -> FolderStore:
        """The trainings that are done once for many trials."""
        return self._folders("trainings")

    @property
    def features(self) -> FolderStore:
        """The hidden states of teachers on all corpora, one folder a layer."""
        return self._folders("features", sized=(STATES_NAME,))

    @property
    def shapes(self) -> FolderStore:
        """What devices charge for shapes of students."""
        return self._folders("shapes")

    @property
    def mels(self) -> FolderStore:
        """The log-mel bins of all corpora. Every node has its own, because they are sooner computed than fetched."""
        return FolderStore(self.folder / "mels", None, self.flight)

    def _folders(self, kind: str, sized: Sequence[str] = ()) -> FolderStore:
        return FolderStore(self.folder / kind, Remote(f"{self.uri}/{kind}") if self.uri else None, self.flight, sized)


class FolderStore:
    """A store of content-addressed folders. A folder counts only if it has its marker and is as the marker says."""

    def __init__(
        self, folder: Path, remote: Remote | None = None, flight: Flight = nullcontext, sized: Sequence[str] = ()
    ) -> None:
        """`sized` are names of files so large that they count as undamaged if their size is right."""
        self.folder = folder
        self._remote = remote
        self._flight = flight
        self._sized = sized

    def get(self, digest: str) -> Path | None:
        """The folder of a digest. None if it was not built to its end, or is damaged."""
        path = self.folder / digest
        if not (path / _MARKER).exists() and not self._pulled(digest):
            return None
        if fault := damage(path, _MARKER):
            _log.warning("%s is damaged (%s); it is made again", path, fault)
            return None
        return path

    def read(self, digest: str, name: str) -> bytes | None:
        """A small file of a folder, without fetching or checking the rest. None if there is no such file."""
        with suppress(FileNotFoundError):
            return (self.folder / digest / name).read_bytes()
        return self._remote.read(f"{digest}/{name}") if self._remote else None

    def get_or_build(self, digest: str, build: Callable[[Path], None]) -> Path:
        """The folder of a digest. If there is none, `build` fills an empty one, and whoever asks meanwhile waits for
        it.

        A builder that died may have left something behind. The next builder removes it.
        """
        return self.get_or_build_all([digest], lambda folders: build(folders[digest]))[digest]

    def get_or_build_all(self, digests: Sequence[str], build: Callable[[Mapping[str, Path]], None]) -> dict[str, Path]:
        """The folders of several digests, by digest. `build` fills those that are missing, all in one call."""
        found = self._found(digests)
        for digest in found:
            self._mark(digest)
        if missing := sorted(set(digests) - found.keys()):
            found |= self._built(missing, partial(self._fill, build=build))
        return found

    def get_or_train(self, digest: str, train: Callable[[Path], None]) -> Path:
        """The folder of a digest, for what takes so long that it is not begun anew when it is interrupted.

        If there is none, `train` fills one. That one is empty, or as an earlier `train` left it that was killed or has
        raised, and it goes on from what it finds there. Whoever asks meanwhile waits for it.
        """
        if found := self.get(digest):
            self._mark(digest)
            return found
        return self._built([digest], lambda _: self._grow(digest, train))[digest]

    def _found(self, digests: Sequence[str]) -> dict[str, Path]:
        return {digest: path for digest in digests if (path := self.get(digest))}

    def _built(self, digests: Sequence[str], fill: Callable[[Sequence[str]], None]) -> dict[str, Path]:
        with ExitStack() as locks:
            # All take locks in the order of digests, so that no two wait for each other. The lock of this node comes
            # first, so that one process of each node asks for the lock over all nodes.
            for digest in digests:
                locks.enter_context(self._lock(digest))
                locks.enter_context(self._flight(f"{self.folder.name}/{digest}"))
            # Another process may have built some while this one waited for the locks.
            found = self._found(digests)
            missing = [digest for digest in digests if digest not in found]
            if missing:
                fill(missing)
            return found | {digest: self.folder / digest for digest in missing}

    def _fill(self, digests: Sequence[str], build: Callable[[Mapping[str, Path]], None]) -> None:
        for digest in digests:
            discard(self.folder / digest)
        with ExitStack() as stack:
            parts = {digest: stack.enter_context(whole_folder(self.folder / digest)) for digest in digests}
            build(parts)
            for part in parts.values():
                seal(part, _MARKER, self._sized)
        for digest in digests:
            self._publish(digest)

    def _grow(self, digest: str, train: Callable[[Path], None]) -> None:
        # A whole folder that lies here is damaged, or its builder would not have been called.
        discard(self.folder / digest)
        with growing_folder(self.folder / digest) as part:
            train(part)
            seal(part, _MARKER, self._sized)
        self._publish(digest)

    def _publish(self, digest: str) -> None:
        if self._remote:
            self._remote.push(self.folder / digest, digest, skip=(_MARKER,))
        self._mark(digest)

    def _mark(self, digest: str) -> None:
        """Renews the marker. Its time tells when its folder was last used."""
        marker = self.folder / digest / _MARKER
        with suppress(OSError):  # a store that may only be read keeps its times
            os.utime(marker)
        if self._remote:
            self._remote.write(f"{digest}/{_MARKER}", marker.read_bytes())

    def _pulled(self, digest: str) -> bool:
        if self._remote is None or self._remote.read(f"{digest}/{_MARKER}") is None:
            return False
        # Several processes may fetch the same folder. The first one to finish puts it in place.
        with first_folder(self.folder / digest) as part:
            self._remote.pull(digest, part)
        return True

    def ls(self) -> list[str]:
        """Digests of the complete folders, sorted."""
        return sorted(self.used_s())

    def used_s(self) -> dict[str, float]:
        """When each complete folder was last used, in Unix time, by digest."""
        if self._remote:
            times_ns = self._remote.times_ns("").items()
            return {name.partition("/")[0]: time_ns / 1e9 for name, time_ns in times_ns if name.endswith(f"/{_MARKER}")}
        return {marker.parent.name: marker.stat().st_mtime for marker in self.folder.glob(f"*/{_MARKER}")}

    def size(self, digest: str) -> int:
        """The size of a folder in bytes."""
        if self._remote:
            return sum(self._remote.files(digest).values())
        return sum(path.stat().st_size for path in (self.folder / digest).rglob("*") if path.is_file())

    def remove(self, name: str) -> None:
        """Removes a folder that `unused` has named, here and at the URI. A build under way is waited for and kept.

        Raises: OSError or AwayError if it may not be removed.
        """
        with self._lock(name.removesuffix(PART)):
            if self._remote:
                self._remote.delete(name)
            discard(self.folder / name)

    def unused(self, before_s: float) -> dict[str, int]:
        """The size in bytes of each folder that has not been used since `before_s` (Unix time), by name.

        The name of a whole one is its digest. What a builder left behind that died so long ago is among them.
        """
        last_s = self.used_s()
        for path in self.folder.glob("[!.]*"):
            if path.name not in last_s and not (path / _MARKER).exists():
                last_s[path.name] = _written_s(path)
        return {name: self.size(name) for name, at_s in last_s.items() if at_s < before_s}

    @contextmanager
    def _lock(self, digest: str) -> Iterator[None]:
        # Lock files are never removed: if another process had just opened one, two builders could get in.
        locks = self.folder / ".locks"
        locks.mkdir(parents=True, exist_ok=True)
        with (locks / digest).open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                _log.info("%s is being built by another process; waiting for it", self.folder / digest)
                fcntl.flock(file, fcntl.LOCK_EX)
            yield  # closing the file, or dying, releases the lock


def _written_s(folder: Path) -> float:
    """When something in a folder was last written, in Unix time. A training writes deep in it for days."""
    written_s = folder.stat().st_mtime
    for path in folder.rglob("*"):
        with suppress(FileNotFoundError):  # an old checkpoint may go meanwhile
            written_s = max(written_s, path.stat().st_mtime)
    return written_s


def discard(path: Path) -> None:
    """Removes a folder of a store, if it is there. Raises: OSError if it may not."""
    # Without its marker the folder counts no more, even if removing it stops half-way.
    (path / _MARKER).unlink(missing_ok=True)
    with suppress(FileNotFoundError):
        shutil.rmtree(path)


class LabelStore:
    """A store of label sets, found by their keys."""

    def __init__(self, folders: FolderStore | Path) -> None:
        self.folders = FolderStore(folders) if isinstance(folders, Path) else folders

    def get(self, key: LabelKey) -> LabelSet | None:
        """The label set of a key. None if it was not built yet.

        Raises: WorkError if it is there but unreadable, which only one of an earlier version can be. The other
        functions raise it too.
        """
        path = self.folders.get(key.digest)
        return _read(path) if path else None

    def get_or_build(self, key: LabelKey, build: Callable[[Path], None]) -> LabelSet:
        """The label set of a key. If there is none yet, `build` writes it into the folder that it is given."""
        return _read(self.folders.get_or_build(key.digest, build))

    def ls(self) -> list[LabelSet]:
        """All complete label sets, in the order of their digests."""
        return [_read(path) for digest in self.folders.ls() if (path := self.folders.get(digest))]


def _read(folder: Path) -> LabelSet:
    # Loaded here: a search is read without its labels, whose frames need the models of encoders.
    from raysearch.targets.label_set import read_label_set

    return read_label_set(folder)
