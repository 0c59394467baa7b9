"""Databases behind a URL: their addresses, how they are reached, and what they say when they cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from raysearch.errors import InputError
from raysearch.files.secrets import masked

CONNECT_S = 10
"""Seconds after which a server that does not answer counts as away. By itself a network takes two minutes."""
MOST_SHOWN = 200
"""Characters of a library's own words that a message holds, at most."""
# What the libraries of servers call that limit; `tcp_user_timeout` is the same for a connection that is open already.
_LIMITS: dict[str, dict[str, int]] = {
    "psycopg2": {"connect_timeout": CONNECT_S, "tcp_user_timeout": 1000 * CONNECT_S},
    "psycopg": {"connect_timeout": CONNECT_S, "tcp_user_timeout": 1000 * CONNECT_S},
    "pymysql": {"connect_timeout": CONNECT_S},
    "mysqldb": {"connect_timeout": CONNECT_S},
    # For how long it waits for the lock of a file. Whoever waits longer says so meanwhile.
    "pysqlite": {"timeout": 1},
}


def connect_args(url: str) -> dict[str, Any]:
    """What SQLAlchemy is to hand to the library of this kind of database, so that no attempt takes minutes.

    Raises: SQLAlchemyError if there is no such kind; ImportError if its library is not installed.
    """
    from sqlalchemy.engine import make_url

    parsed = make_url(url)
    parsed.get_dialect().import_dbapi()
    limits = _LIMITS.get(parsed.get_dialect().driver, {})
    return {name: limit for name, limit in limits.items() if name not in parsed.query}


def words_of(err: BaseException) -> str:
    """What went wrong, in one short line and without passwords: SQLAlchemy adds the statement and a link to its own."""
    said = getattr(err, "orig", None) or err
    words = " ".join(str(said).split()).partition(" [SQL: ")[0]
    return masked(words)[:MOST_SHOWN]


def sqlite_url(file: Path) -> str:
    """The address of the database in this file, as SQLAlchemy and MLflow read it. `?`, `%20` and `#` are of the path.

    Raises: InputError if the installed SQLAlchemy has no way to write the path.
    """
    # Loading it takes a while, and most verbs need no address.
    from sqlalchemy import URL, make_url

    url = URL.create("sqlite", database=str(file)).render_as_string(hide_password=False)
    if not url.endswith(str(file)):
        # MLflow makes the folder of a database whose address begins with `sqlite:///`, and takes the rest as it stands.
        url = url.replace("sqlite:", "sqlite+pysqlite:", 1)
    if make_url(url).database != str(file):
        raise InputError(f"{file}: expected a path without ? and %, which SQLAlchemy before 2.1 cannot write")
    return url


def sqlite_file(url: str) -> Path | None:
    """The file of a SQLite address; None if the address is that of something else."""
    from sqlalchemy import make_url

    if not url.startswith("sqlite"):
        return None
    return Path(make_url(url).database or "")
