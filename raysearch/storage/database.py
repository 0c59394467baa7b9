"""A study's database. It may be away or locked for a while, and then it is waited for."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from functools import partial, wraps
from typing import Any, TypeVar

from optuna.exceptions import StorageInternalError, UpdateFinishedTrialError
from optuna.storages import BaseStorage, RDBStorage
from sqlalchemy.exc import (
    ArgumentError,
    DBAPIError,
    InterfaceError,
    InternalError,
    NoSuchModuleError,
    OperationalError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

from raysearch.errors import AwayError, InputError
from raysearch.files.databases import connect_args, words_of
from raysearch.files.secrets import masked

PATIENCE_S = 300.0
"""Seconds for which a database is waited for that has answered this process before."""
LOCKED_S, AWAY_S = 60.0, 10.0
"""The same for one that has not: when it is locked, and when nobody answers at its address."""
SAID_AT = 6
"""The attempt, after some three seconds, at which it is said once what is waited for."""
# Words by which a server says that it will not let this user in, however long one waits.
_REFUSALS = (
    *("authentication failed", "no password supplied", "pg_hba.conf", "does not exist", "access denied"),
    "unknown database",
)
# What a function raises that is called again after the database did what was asked, but was gone before it said so.
_DONE_BEFORE = {"delete_study": KeyError, "set_trial_state_values": UpdateFinishedTrialError}

_log = logging.getLogger(__name__)
T = TypeVar("T")


class Database(RDBStorage):
    """Optuna's storage in a database, every function of which waits while the database is away or locked.

    Each of them raises AwayError once patience ends.
    """

    def __init__(self, url: str) -> None:
        """Opens the database.

        Raises: InputError if there is no such kind of database, or it does not let this user in; AwayError.
        """
        self.shown = masked(url)
        self._answered, self._gave_up = False, False
        expected = "the URL of a database whose driver is installed, such as postgresql+psycopg2://USER@HOST/NAME"
        try:
            # A connection that the server has closed meanwhile is noticed before it is used, and replaced.
            settings = {"pool_pre_ping": True, "connect_args": connect_args(url)}
            self.wait_for(partial(RDBStorage.__init__, self, url, engine_kwargs=settings))
        except (ArgumentError, NoSuchModuleError, ImportError) as err:
            raise InputError(f"--storage: {self.shown}: {words_of(err)}; expected {expected}") from err
        except RuntimeError as err:  # its tables were made by another version of Optuna
            raise InputError(f"--storage: {self.shown}: {words_of(err)}; expected a database of this Optuna") from err

    def wait_for(self, work: Callable[[], T], done_before: type[Exception] | tuple[()] = ()) -> T | bool:
        """What `work` returns. It is called again as long as the database is away or locked, and patience lasts.

        If a second call raises `done_before`, the first one did the work already.
        Raises: AwayError when patience ends; InputError if the database does not let this user in.
        """
        began_s = time.monotonic()
        retrying = Retrying(
            retry=retry_if_exception(_passes),
            wait=wait_exponential(multiplier=0.05, max=5.0),
            stop=self._patience_ends,
            before_sleep=self._before_nap,
            reraise=True,
        )
        try:
            for attempt in retrying:
                with attempt:
                    try:
                        found: T | bool = work()
                    except done_before:
                        if attempt.retry_state.attempt_number == 1:
                            raise
                        found = True
        except (SQLAlchemyError, StorageInternalError) as err:
            # Whoever gave up once does not begin to wait again, as for the last words of a search that ends.
            self._gave_up = True
            raise self._told(err, time.monotonic() - began_s) from err
        self._answered, self._gave_up = True, False
        return found

    def _patience_ends(self, state: RetryCallState) -> bool:
        patience_s = PATIENCE_S if self._answered else LOCKED_S if _is_locked(_cause(state)) else AWAY_S
        return self._gave_up or (state.seconds_since_start or 0.0) > patience_s

    def _before_nap(self, state: RetryCallState) -> None:
        if _is_read_only(_cause(state)):
            # The connections are to a server that is no longer the first. A new one may find the one that is.
            self.engine.dispose()
        if state.attempt_number == SAID_AT:
            _log.warning("the study's database %s: %s; waiting for it", self.shown, words_of(_cause(state)))

    def _told(self, err: SQLAlchemyError | StorageInternalError, waited_s: float) -> Exception:
        """The error as it is told, in one line; a fault of ours stays as it is."""
        cause = _origin(err)
        if _is_refusal(cause):
            return InputError(f"--storage: {self.shown}: {words_of(cause)}; expected a database that lets this user in")
        if _is_away(cause):
            waited = f"; waited {waited_s:.0f} s" if waited_s >= 1 else ""
            return AwayError(f"the study's database {self.shown}: {words_of(cause)}{waited}; what it holds is safe")
        if isinstance(getattr(cause, "orig", None), sqlite3.DatabaseError):
            return InputError(f"--storage: {self.shown}: {words_of(cause)}; expected a database of Optuna, not damaged")
        return err


def _waits(name: str) -> Callable[..., Any]:
    """The function of Optuna's storage with this name, as one that waits."""
    plain = getattr(RDBStorage, name)

    @wraps(plain)
    def waits(self: Database, *args: Any, **kwargs: Any) -> Any:
        return self.wait_for(partial(plain, self, *args, **kwargs), _DONE_BEFORE.get(name, ()))

    return waits


for _name in (*BaseStorage.__abstractmethods__, "get_best_trial", "_get_trials"):
    setattr(Database, _name, _waits(_name))


def _origin(err: BaseException) -> BaseException:
    """What SQLAlchemy raised: Optuna says only that something happened."""
    return (err.__cause__ or err) if isinstance(err, StorageInternalError) else err


def _cause(state: RetryCallState) -> BaseException:
    err = state.outcome.exception() if state.outcome else None
    assert err is not None, "only what failed is tried again"
    return _origin(err)


def _passes(err: BaseException) -> bool:
    """Whether it may be over if one waits."""
    cause = _origin(err)
    if not _is_away(cause) or _is_refusal(cause):
        return False
    # A file is there or is not, and only its lock passes.
    return _is_locked(cause) or not isinstance(getattr(cause, "orig", None), sqlite3.Error)


def _is_away(err: BaseException) -> bool:
    gone = isinstance(err, DBAPIError) and err.connection_invalidated
    return gone or isinstance(err, OperationalError | InterfaceError | PoolTimeoutError) or _is_read_only(err)


def _is_read_only(err: BaseException) -> bool:
    """Whether another server has taken the place of this one, which may only be read since."""
    return isinstance(err, InternalError) and "read-only transaction" in str(err.orig)


def _is_refusal(err: BaseException) -> bool:
    return isinstance(err, DBAPIError) and any(words in str(err.orig).lower() for words in _REFUSALS)


def _is_locked(err: BaseException) -> bool:
    return isinstance(err, OperationalError) and "locked" in str(err.orig)
