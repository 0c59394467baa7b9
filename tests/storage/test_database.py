"""A study in a database that is locked or away: who waits, and what is said when it stays so."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
import sqlalchemy

from raysearch.errors import AwayError, InputError
from raysearch.storage import database
from raysearch.storage.database import Database
from raysearch.storage.lease import Lease
from raysearch.storage.studies import open_storage


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PATIENCE_S", "LOCKED_S", "AWAY_S"):
        monkeypatch.setattr(database, name, 0.0)


def during_naps(monkeypatch: pytest.MonkeyPatch, action: Callable[[], None]) -> list[float]:
    """The naps of whoever waits. None takes any time, and the action happens in the third."""
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            action()

    monkeypatch.setattr("tenacity.nap.time.sleep", nap)
    return naps


class Locked:
    """A SQLite file that another program holds, as a backup does."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(path, isolation_level=None)
        self._connection.execute("BEGIN EXCLUSIVE")

    def release(self) -> None:
        self._connection.rollback()
        self._connection.close()


class Away:
    """A PostgreSQL that is gone, for all who use it: no connection is left, and no socket to make one."""

    def __init__(self, url: str) -> None:
        parsed = sqlalchemy.make_url(url)
        self._socket = Path(str(parsed.query["host"])) / ".s.PGSQL.5432"
        engine = sqlalchemy.create_engine(url)
        with engine.connect() as connection:
            others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()"
            connection.execute(sqlalchemy.text(others))
        engine.dispose()
        self._socket.rename(self._socket.with_suffix(".away"))

    def returns(self) -> None:
        self._socket.with_suffix(".away").rename(self._socket)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "study.db"


def test_locked_file_is_waited_for_when_it_is_opened_and_later(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(storage=Database(f"sqlite:///{file}"), study_name="s")
    locked = Locked(file)
    naps = during_naps(monkeypatch, locked.release)
    study.set_user_attr("a", 1)
    assert len(naps) == 3
    locked = Locked(file)
    naps = during_naps(monkeypatch, locked.release)
    assert Database(f"sqlite:///{file}").get_all_studies()[0].user_attrs == {"a": 1}
    assert len(naps) == 3


def test_file_that_stays_locked_is_one_line_that_says_what_is_safe(file: Path, no_patience: None) -> None:
    Database(f"sqlite:///{file}")
    locked = Locked(file)
    with pytest.raises(AwayError) as away:
        Database(f"sqlite:///{file}")
    locked.release()
    assert str(away.value).startswith(f"the study's database sqlite:///{file}: database is locked; waited ")
    assert str(away.value).endswith("; what it holds is safe")


def test_server_that_goes_and_returns_costs_nothing(empty_postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    study = optuna.create_study(storage=Database(empty_postgres), study_name="s")
    for number in range(3):
        trial = study.ask()
        away = Away(empty_postgres)
        naps = during_naps(monkeypatch, away.returns)
        study.tell(trial, float(number))
        assert len(naps) == 3
    assert [trial.value for trial in Database(empty_postgres).get_all_trials(study._study_id)] == [0.0, 1.0, 2.0]


def test_server_that_may_only_be_read_is_waited_for_until_another_one_is_reached(
    empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a failover the connections that are open are to a server which refuses to write."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    monkeypatch.setattr(database, "PATIENCE_S", 5.0)
    storage = Database(empty_postgres)
    study = optuna.create_study(storage=storage, study_name="s")
    storage.engine.dispose()  # the next connection is the only one
    with storage.engine.connect() as connection:
        connection.execute(sqlalchemy.text("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY"))
        connection.commit()
    study.set_user_attr("a", 1)
    assert Database(empty_postgres).get_study_user_attrs(study._study_id) == {"a": 1}


def test_server_that_goes_as_it_answers_is_not_told_twice(empty_postgres: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first attempt did the work, and its answer was lost."""
    monkeypatch.setattr("tenacity.nap.time.sleep", lambda seconds: None)
    storage = Database(empty_postgres)
    study = optuna.create_study(storage=storage, study_name="s")
    trial = study.ask()
    plain, lost = optuna.storages.RDBStorage.set_trial_state_values, []

    def loses_its_answer(*given: object) -> bool:
        done = plain(storage, *given)  # type: ignore[arg-type]
        if not lost:
            lost.append(done)
            raise sqlalchemy.exc.OperationalError("COMMIT", {}, Exception("server closed the connection"))
        return done

    state = optuna.trial.TrialState.COMPLETE
    assert storage.wait_for(
        lambda: loses_its_answer(trial._trial_id, state, [1.0]), optuna.exceptions.UpdateFinishedTrialError
    )
    assert storage.get_trial(trial._trial_id).value == 1.0


def test_server_that_stays_away_is_given_up_once(empty_postgres: str, no_patience: None) -> None:
    lease = Lease.take(open_storage(empty_postgres), "tiny")
    away = Away(empty_postgres)
    with pytest.raises(AwayError, match=r"the study's database postgresql\S*: connection .* failed: .*; what it holds"):
        lease.beat()
    lease.release()  # the next driver finds this one dead
    away.returns()
    assert optuna.get_all_study_names(open_storage(empty_postgres)) == [lease._name]


def test_unknown_user_is_refused_at_once_and_the_password_hidden(empty_postgres: str) -> None:
    url = empty_postgres.replace("postgres@", "nobody:s3cret@")
    with pytest.raises(InputError) as refused:
        open_storage(url)
    assert 'role "nobody" does not exist; expected a database that lets this user in' in str(refused.value)
    assert "nobody:***@" in str(refused.value)
    assert "s3cret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "line"),
    [
        ("postgresql+pg8000://alice:s3cret@host/db", "No module named 'pg8000'; expected the URL of a database whose"),
        ("nothing+odd://alice:s3cret@host/db", "Can't load plugin: sqlalchemy.dialects:nothing.odd; expected the URL"),
    ],
)
def test_kind_of_database_that_cannot_be_used_is_the_users_fault(url: str, line: str) -> None:
    with pytest.raises(InputError) as refused:
        open_storage(url)
    assert str(refused.value).startswith(f"--storage: {url.replace('s3cret', '***')}: {line}")


def test_file_that_is_no_database_is_the_users_fault(file: Path) -> None:
    file.write_bytes(b"no database" * 100)
    with pytest.raises(InputError, match="file is not a database; expected a database of Optuna"):
        open_storage(f"sqlite:///{file}")


def test_unreachable_database_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "AWAY_S", 0.0)
    url = f"postgresql+psycopg2://alice@127.0.0.1:1/{os.urandom(4).hex()}"
    found = []
    for _ in range(2):
        with pytest.raises(AwayError) as away:
            open_storage(url)
        found.append(away.value)
    assert found[0] is found[1]
