"""Keeps a search at a URI up to date while its driver works on a local copy.

The driver writes the journal of the study to the URI every few seconds, and once more at the end. It must be the only
one to do so, but object stores know no locks. Instead the file `driver.json` at the URI says who drives and when that
driver was last heard of. Whoever finds a living driver gives way. A driver that finds another one's name there has been
taken for dead, and stops.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable

from raysearch.errors import AwayError, InputError, WorkError
from raysearch.storage.folder import SearchFolder
from raysearch.storage.holder import SILENCE_S, Holder
from raysearch.storage.stage import STAGE

BEAT_S = 10.0
"""Seconds between two beats: at each, the driver shows that it lives and copies what has changed."""
DRIVER = "driver.json"
KEPT = ("study.journal", "front.json", "front.png", "front.html", "mirror.log", STAGE)
"""Files of the search's folder that are copied to the URI when they have changed."""


class Replica:
    """The copy at the URI, which this driver holds from `begin` to `end`. For a search in a folder it does nothing."""

    def __init__(self, folder: SearchFolder, clock: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._remote = folder.remote
        self._clock = clock
        self._token = os.urandom(8).hex()
        self._ended = threading.Event()
        self._threads: list[threading.Thread] = []
        self._pushed: dict[str, int] = {}
        self._lost: WorkError | None = None

    def begin(self) -> None:
        """Takes the search and starts to copy. Raises: InputError if another driver lives."""
        if self._remote is None:
            return
        self.refuse()
        self._beat()
        # Copying may take long, and whoever does not beat meanwhile counts as dead.
        self._threads = [
            threading.Thread(target=self._keep, args=(work,), daemon=True) for work in (self._beat, self._copy)
        ]
        for thread in self._threads:
            thread.start()

    def refuse(self) -> None:
        """Refuses to go on if the search has a living driver. Raises: InputError if it has one."""
        token, beat_s, who = self._driver()
        if token and self._clock() - beat_s < SILENCE_S:
            raise InputError(f"{self._folder.name}: driven by {who}; expected no driver: end that one, or wait")

    def check(self) -> None:
        """Asks the URI who drives. Raises: WorkError if another driver has taken over."""
        if self._remote is not None and self._driver()[0] not in ("", self._token):
            raise WorkError(f"{self._folder.name}: another driver took over while this one was silent; nothing is lost")

    def held(self) -> None:
        """Raises: WorkError if the last beat found that another driver has taken over.

        Unlike `check` it asks nobody, so it is fast enough to come before every write of the study.
        """
        if self._lost:
            raise self._lost

    def end(self) -> None:
        """Copies a last time and signs off, so that the next driver need not wait until this one counts as dead."""
        if self._remote is None or self._ended.is_set():
            return
        self._ended.set()
        for thread in self._threads:  # what they write must not come after the last words
            thread.join()
        if self._driver()[0] == self._token:
            self._copy()
            self._remote.write(DRIVER, b"{}")

    def _keep(self, work: Callable[[], None]) -> None:
        while not self._ended.wait(BEAT_S):
            try:
                self.check()
                work()
            except (AwayError, OSError):
                continue  # the store cannot be reached now; the next beat may reach it
            except WorkError as err:
                self._lost = err
                return

    def _driver(self) -> tuple[str, float, str]:
        """Token of the driver that the URI names, Unix time of its last beat, and who it is, if any."""
        document = json.loads(self._remote.read(DRIVER) or b"{}") if self._remote else {}
        return document.get("token", ""), document.get("beat_s", 0.0), document.get("who", "")

    def _beat(self) -> None:
        assert self._remote is not None
        document = {"token": self._token, "beat_s": self._clock(), "who": str(Holder.here(self._clock()))}
        self._remote.write(DRIVER, json.dumps(document).encode())

    def _copy(self) -> None:
        """Copies to the URI what has changed here, and from there what tells of trials, which the mirror reads here."""
        assert self._remote is not None
        for name in KEPT:
            path = self._folder.path / name
            if path.exists() and (written_ns := path.stat().st_mtime_ns) != self._pushed.get(name):
                self._remote.write(name, path.read_bytes())
                self._pushed[name] = written_ns
        self._folder.fetch_light_of_trials()
