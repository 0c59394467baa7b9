"""An MLflow database without a server before it: reached quickly or not at all, and made once."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlflow import MlflowClient
from mlflow.store.db.db_types import DATABASE_ENGINES
from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from raysearch.files.databases import connect_args


def open_client(tracking_uri: str) -> MlflowClient:
    """MLflow's client of a server or a database, of which a new one is ready when this returns.

    Raises: SQLAlchemyError or ImportError if a database cannot be reached; MlflowException if MLflow refuses it.
    """
    if tracking_uri.partition("://")[0].partition("+")[0] not in DATABASE_ENGINES:
        return MlflowClient(tracking_uri=tracking_uri)
    _reach(tracking_uri)
    # The client of a database makes its tables where there are none.
    with _one_maker(tracking_uri):
        return MlflowClient(tracking_uri=tracking_uri)


def _reach(url: str) -> None:
    """Connects once. MLflow itself would try for minutes, twice, before it says that a database does not answer."""
    if folder := _folder(url):
        folder.mkdir(parents=True, exist_ok=True)
    engine = create_engine(url, connect_args=connect_args(url))
    try:
        engine.connect().close()
    finally:
        engine.dispose()


@contextmanager
def _one_maker(url: str) -> Iterator[None]:
    """Within the block nobody else makes tables in a SQLite file of the same folder.

    MLflow makes them in dozens of steps, and two that do so at once fail. A server does not let steps of two mix.
    """
    folder = _folder(url)
    if folder is None:
        yield
        return
    # The folder itself is locked, since the file may not be there yet. Closing it, or dying, gives the lock back.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _folder(url: str) -> Path | None:
    """The folder of a SQLite file; None of any other database."""
    parsed = make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database)).absolute().parent
