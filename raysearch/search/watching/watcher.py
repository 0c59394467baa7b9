"""Follows a search from its driver's main thread: what goes on is shown, and kept in the search's folder."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress

from raysearch.errors import InputError, WorkError
from raysearch.files.secrets import masked
from raysearch.search.watching.works import Works
from raysearch.storage.folder import SearchFolder
from raysearch.storage.stage import Stage, read_stage, write_stage

WRITE_S = 2.0
"""Seconds between two writings of the stage, at least."""
READ_S = 1.0
"""Seconds between two readings of the board."""


class Watcher:
    """Keeps the stage of a search in its folder."""

    def __init__(self, folder: SearchFolder, clock: Callable[[], float] = time.monotonic) -> None:
        self._folder = folder
        self._clock = clock
        self._written: tuple[Stage, float] | None = None
        self._phase = "starting"
        self._works: Works = {}
        before = read_stage(folder.path)
        self.before: Mapping[str, float] = before.spent if before else {}
        """What earlier drivers have spent of a budget, by unit."""
        self.spent: Callable[[], Mapping[str, float]] = lambda: self.before
        """Says what has been spent until now, this driver included."""
        self._write(self._phase)

    def enter(self, phase: str) -> None:
        """A phase begins: `teacher`, `shapes`, `shared` or `trials`."""
        self._phase, self._works = phase, {}
        self._write(phase)

    @contextmanager
    def following(self, read: Callable[[], Works], every_s: float = READ_S) -> Iterator[None]:
        """Reads works in a thread of its own, which may wait for a server that is gone: the main thread must not."""
        ended = threading.Event()

        def follow() -> None:
            while not ended.wait(every_s):
                with suppress(Exception):  # a store that fails once may answer next time
                    self._works = read()

        threading.Thread(target=follow, daemon=True).start()
        try:
            yield
        finally:
            ended.set()

    def tick(self, show: Callable[[Works], None]) -> None:
        """Shows the works that were read last, and now and then writes them down."""
        works = self._works
        show(works)
        written, at_s = self._written or (None, 0.0)
        if self._clock() - at_s >= WRITE_S and Stage(self._phase, works, spent=self.spent()) != written:
            self._write(self._phase, works)

    def _write(self, phase: str, works: Works | None = None, reason: str = "") -> None:
        stage = Stage(phase, works or {}, reason, dict(self.spent()))
        self._written = (stage, self._clock())
        # A full disk ends a search where it matters, which is not here.
        with suppress(OSError):
            write_stage(self._folder.path, stage)

    @contextmanager
    def ending(self) -> Iterator[Watcher]:
        """When the block ends, it is kept how: done, interrupted, or failed and why."""
        try:
            yield self
        except (InputError, WorkError) as err:
            self._write("failed", reason=masked(str(err).partition("\n")[0]))
            raise
        except Exception as err:
            self._write("failed", reason=masked(f"{type(err).__name__}: {str(err).partition(chr(10))[0]}"))
            raise
        except BaseException:
            self._write("interrupted")
            raise
        self._write("done")
