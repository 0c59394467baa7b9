"""Addresses of SQLite databases, whatever characters the path of their file has."""

from __future__ import annotations

from pathlib import Path

from raysearch.errors import InputError


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
