"""Addresses of SQLite files, opened by SQLAlchemy itself."""

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from raysearch.files.databases import sqlite_file, sqlite_url, words_of


@pytest.mark.parametrize("odd", ["plain", "what?", "a%20b", "x#y z", "p%3Fq", "é;=&@:"])
def test_database_lies_in_its_file_whatever_its_path(odd: str, tmp_path: Path) -> None:
    file = tmp_path / odd / "mlflow.db"
    file.parent.mkdir()
    with create_engine(sqlite_url(file)).begin() as connection:
        connection.execute(text("create table t (x int)"))
    assert sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*")) == [Path(odd), Path(odd, "mlflow.db")]
    assert sqlite_file(sqlite_url(file)) == file


def test_words_of_a_library_are_told_without_the_statement() -> None:
    said = "(sqlite3.OperationalError) attempt to write a readonly database\n[SQL: UPDATE tags]\n[parameters: (1,)]"
    assert words_of(ValueError(said)) == "(sqlite3.OperationalError) attempt to write a readonly database"


def test_other_addresses_have_no_file() -> None:
    assert sqlite_file("http://mlflow:5000") is None
    assert sqlite_file("") is None
