"""The lock on a journal: a symbolic link beside it, whose text says who holds it.

Making a link is atomic on every file system, network ones among them, and so is reading its text. A lock whose holder
is dead is broken at once on the holder's own host. Nothing within the lock takes long, so a lock of another host that
has not changed for `GRACE_S` is broken too.
"""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from optuna.storages.journal import JournalFileSymlinkLock

from raysearch.storage.holder import Holder

GRACE_S = 30.0
"""A lock whose holder cannot be asked counts as left behind once it has stood so long unchanged."""
BREAKING_S = 10.0
"""Breaking a lock takes milliseconds: whoever began so long ago has died over it."""
SLOW_S = 10.0
"""Seconds of waiting after which it is said once who is waited for."""
LONGEST_NAP_S = 0.05

_log = logging.getLogger(__name__)


class JournalLock(JournalFileSymlinkLock):
    """A lock that its holder may take again, and that does not outlive its holder."""

    def __init__(self, journal: str) -> None:
        super().__init__(journal)
        self._link = Path(f"{journal}.lock")
        # Several locks of one process must not be taken for each other.
        self._token = os.urandom(4).hex()
        me = Holder.here(time.time())
        self._mine = f"{me.host}/{me.pid}/{me.born}/{me.since_s}/{self._token}"
        self._depth = 0

    def acquire(self) -> bool:
        """Waits until the lock is this one's. Returns True, as Optuna expects it."""
        if not self._depth:
            try:
                self._wait()
            except BaseException:
                # Ctrl-C may come between the link and the count of it: nobody would ever release such a lock.
                self._give_back()
                raise
        self._depth += 1
        return True

    def release(self) -> None:
        """Gives the lock back once it was released as often as it was acquired."""
        self._depth -= 1
        if not self._depth:
            self._give_back()

    def _give_back(self) -> None:
        # Another host may have broken the lock of a holder that slept, and taken it: such a link is not ours to remove.
        if _text(self._link) == self._mine:
            self._link.unlink(missing_ok=True)

    def _wait(self) -> None:
        seen, since_s, told, nap_s = "", time.monotonic(), False, 0.001
        while not self._take():
            held_by = _text(self._link)
            if held_by != seen:
                seen, since_s = held_by, time.monotonic()
            waited_s = time.monotonic() - since_s
            if _is_left_behind(held_by, waited_s):
                self._break(held_by)
                continue
            if waited_s > SLOW_S and not told:
                _log.warning("%s: waiting for its holder, %s", self._link, held_by)
                told = True
            time.sleep(nap_s)
            nap_s = min(2 * nap_s, LONGEST_NAP_S)

    def _take(self) -> bool:
        try:
            self._link.symlink_to(self._mine)
        except FileExistsError:
            return False
        return True

    def _break(self, left_by: str) -> None:
        """Removes a lock that was left behind, unless somebody else has done so already.

        Only one process breaks at a time: of two, the second could remove the lock that the first has taken since.
        """
        breaking = self._link.with_name(f"{self._link.name}.breaking")
        try:
            breaking.symlink_to(self._token)
        except FileExistsError:
            if _age_s(breaking) > BREAKING_S:
                breaking.unlink(missing_ok=True)
            time.sleep(LONGEST_NAP_S)
            return
        try:
            if _text(self._link) == left_by:
                self._link.unlink(missing_ok=True)
                _log.warning("%s: its holder died (%s); the lock is free again", self._link, left_by)
        finally:
            breaking.unlink(missing_ok=True)


def _is_left_behind(held_by: str, waited_s: float) -> bool:
    """Whether nobody will release a lock that has stood unchanged for `waited_s`; empty text is no lock at all."""
    if not held_by:
        return False
    holder = _holder(held_by)
    if holder is not None and holder.is_here:
        return holder.is_dead(waited_s)
    return waited_s > GRACE_S


def _holder(text: str) -> Holder | None:
    """None for a lock of Optuna's own making, which does not say who holds it."""
    parts = text.split("/")
    if len(parts) != 5 or not all(part.isdigit() for part in parts[1:4]):
        return None
    return Holder(parts[0], *(int(part) for part in parts[1:4]))


def _text(link: Path) -> str:
    try:
        return os.readlink(link)
    except FileNotFoundError:
        return ""


def _age_s(link: Path) -> float:
    try:
        return time.time() - link.lstat().st_mtime
    except FileNotFoundError:
        return 0.0
