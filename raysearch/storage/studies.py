"""Opens the Optuna storage of studies: a journal file in the search's folder, or a database."""

from __future__ import annotations

from functools import cache

import optuna
from optuna.storages import BaseStorage, RDBStorage

from raysearch.storage.journal import Journal


def open_storage(storage: str | BaseStorage) -> BaseStorage:
    """The storage behind a database URL or the path of a journal file."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if isinstance(storage, BaseStorage):
        return storage
    return _database(storage) if "://" in storage else Journal(storage)


@cache
def _database(url: str) -> RDBStorage:
    """The storage behind a database URL: one for each process, since a team's server has few connections to give."""
    # A connection that the server has closed meanwhile is noticed before it is used, and replaced.
    return RDBStorage(url, engine_kwargs={"pool_pre_ping": True})
