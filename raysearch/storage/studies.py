"""Where studies are kept: a journal file in the search's folder, or a database."""

from __future__ import annotations

from functools import cache

import optuna
from optuna.storages import BaseStorage, RDBStorage

from raysearch.storage.journal import Journal


def open_storage(storage: str | BaseStorage) -> BaseStorage:
    """The storage behind a database URL, or a journal file."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if isinstance(storage, BaseStorage):
        return storage
    return _database(storage) if "://" in storage else Journal(storage)


@cache
def _database(url: str) -> RDBStorage:
    """One a process: each keeps connections open, and a team's server has only so many."""
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
