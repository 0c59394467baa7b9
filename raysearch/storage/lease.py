"""The lease: one driver at a time on one search, whether its study is a journal or a database.

A lease is an empty Optuna study beside the search's own, whose name says who drives; creating it is one atomic write.
Each driver first creates its lease and then looks for others: of two that start at once, at least one sees the other
and gives way. A dead driver's lease is deleted by its successor, so that a driver that was only asleep finds its own
gone and stops: the lease is its own fencing token.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

from optuna.storages import BaseStorage
from optuna.study import StudyDirection

from raysearch.errors import AwayError, InputError, WorkError
from raysearch.storage.holder import SILENCE_S, Holder

BEAT_S = 15.0
"""Seconds between two signs of life of a driver."""
_given_up: set[str] = set()
"""Names of the leases that this process has released. One stays in the database if that was away then, and a notebook
lives on: it would be refused by itself."""


class Lease:
    """Held from `take` to `release`; `check` before each write."""

    def __init__(self, storage: BaseStorage, search: str, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._search = search
        self._clock = clock
        self._stopped = threading.Event()
        self._name = _name(search, Holder.here(clock()))
        self._id = storage.create_new_study([StudyDirection.MINIMIZE], self._name)

    @classmethod
    def take(cls, storage: BaseStorage, search: str, clock: Callable[[], float] = time.time) -> Lease:
        """Become the search's driver, in the place of one that died.

        Raises: InputError naming the driver that lives.
        """
        lease = cls(storage, search, clock)
        try:
            lease.beat()
            dead = []
            for study_id, holder, silent_s, lives in lease._others():
                if lives:
                    raise InputError(
                        f"{search}: driven by {holder} (last sign of life {silent_s:.0f} s ago); expected no driver: "
                        f"end that one, or wait: a dead one gives way at once on its own host, elsewhere after "
                        f"{SILENCE_S:.0f} s of silence"
                    )
                dead.append(study_id)
            for study_id in dead:
                storage.delete_study(study_id)
        except BaseException:
            lease.release()
            raise
        return lease

    def keep(self) -> None:
        """Give signs of life in the background, until `release`."""
        threading.Thread(target=self._keep, daemon=True).start()

    def beat(self) -> None:
        self._storage.set_study_user_attr(self._id, "beat_s", self._clock())

    def check(self) -> None:
        """Raises: WorkError if another driver has taken over."""
        try:
            held = self._storage.get_study_id_from_name(self._name) == self._id
        except KeyError:
            held = False
        if not held:
            raise WorkError(f"{self._search}: another driver took over while this one was silent; nothing is lost")

    def release(self) -> None:
        self._stopped.set()
        _given_up.add(self._name)
        try:
            self._storage.delete_study(self._id)
        except (KeyError, AwayError):
            return  # taken over; or left to the next driver, since the database is away

    def _keep(self) -> None:
        while not self._stopped.wait(BEAT_S):
            try:
                self.beat()
            except KeyError:
                return  # taken over: the next write's `check` says so
            except (AwayError, OSError):
                continue  # the database is away, or the journal's disk is full: the next beat may reach it

    def _others(self) -> Iterator[tuple[int, Holder, float, bool]]:
        """Other leases on the search, as `_leases` gives them."""
        return (lease for lease in _leases(self._storage, self._search, self._clock()) if lease[0] != self._id)


def living_driver(storage: BaseStorage, search: str, clock: Callable[[], float] = time.time) -> Holder | None:
    """The driver that holds the lease on a search and lives; None if there is none. Nothing is changed."""
    leases = _leases(storage, search, clock())
    return next((holder for _, holder, _, lives in leases if lives), None)


def _leases(storage: BaseStorage, search: str, now_s: float) -> Iterator[tuple[int, Holder, float, bool]]:
    """The id of each lease on the search, its holder, the seconds since its last sign of life, and whether it lives."""
    for study in storage.get_all_studies():
        holder = _holder(search, study.study_name)
        if holder is not None:
            silent_s = now_s - float(study.user_attrs.get("beat_s", holder.since_s))
            lives = study.study_name not in _given_up and not holder.is_dead(silent_s)
            yield study._study_id, holder, silent_s, lives


def _name(search: str, holder: Holder) -> str:
    token = os.urandom(4).hex()
    return f"{search}/driver/{holder.host}/{holder.pid}/{holder.born}/{holder.since_s}/{token}"


def _holder(search: str, name: str) -> Holder | None:
    # No name of a search has a slash.
    parts = name.split("/")
    if len(parts) != 7 or parts[:2] != [search, "driver"]:
        return None
    return Holder(parts[2], *(int(part) for part in parts[3:6]))
