"""Opens the Optuna storage of studies: a journal file in the search's folder, or a database."""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import cache
from typing import Any

import optuna
from optuna.storages import BaseStorage

from raysearch.errors import AwayError
from raysearch.storage.folder import SearchFolder
from raysearch.storage.journal import Journal

TOKEN = "token"
"""What a study knows by this name is the token of its search's folder."""
FRESH_S = 30.0
"""Seconds for which a database counts as away that did not answer. Whoever looks at all searches waits for it once."""
_away: dict[str, tuple[float, AwayError]] = {}


def open_storage(storage: str | BaseStorage) -> BaseStorage:
    """The storage behind a database URL or the path of a journal file.

    Raises: InputError or AwayError if a database cannot be used.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    if isinstance(storage, BaseStorage):
        return storage
    if "://" not in storage:
        return Journal(storage)
    asked_s, known = _away.get(storage, (0.0, None))
    if known and time.monotonic() - asked_s < FRESH_S:
        raise known
    try:
        return _database(storage)
    except AwayError as err:
        _away[storage] = time.monotonic(), err
        raise


@cache
def _database(url: str) -> BaseStorage:
    """The storage behind a database URL: one for each process, since a team's server has few connections to give."""
    # What it needs takes a while to load, and most searches have a journal.
    from raysearch.storage.database import Database

    return Database(url)


def owns(folder: SearchFolder, about: Mapping[str, Any]) -> bool:
    """Whether a study, of which all this is known, is that of the search in `folder`.

    In a database it may be that of a search in another folder, which took the name first. Searches of earlier versions
    have no token.
    """
    token = folder.links().token
    return not token or about.get(TOKEN, token) == token
