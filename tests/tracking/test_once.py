"""One sync that somebody waits for: what it says when the server is away."""

from pathlib import Path

import pytest

from raysearch.errors import InputError, WorkError
from raysearch.files.secrets import masked
from raysearch.tracking.mirror import Mirror
from raysearch.tracking.once import sync_once
from tests.tracking.made_up_states import record, state

pytestmark = pytest.mark.mlflow


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow would try for minutes."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")


def told(uri: str, tmp_path: Path, kind: type[Exception]) -> str:
    said: list[str] = []
    with pytest.raises(kind) as raised:
        sync_once(
            Mirror(uri, artifact_root=str(tmp_path)),
            state([record(0)]),
            "raysearch sync an4 --storage runs",
            said.append,
        )
    assert said == [f"MLflow at {masked(uri)}: sending what it lacks of an4"]
    return str(raised.value)


def test_dead_server_is_one_line_without_the_password(tmp_path: Path) -> None:
    line = told("http://alice:s3cret@127.0.0.1:9", tmp_path, WorkError)
    assert line.startswith("MLflow at http://alice:***@127.0.0.1:9: ")
    assert line.endswith(
        "; nothing is lost: the study holds all, send it later with: raysearch sync an4 --storage runs"
    )
    assert "s3cret" not in line
    assert "\n" not in line


def test_dead_database_is_given_up_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow would try for four minutes, with pauses that double."""
    naps: list[float] = []
    monkeypatch.setattr("time.sleep", naps.append)
    line = told("postgresql+psycopg2://alice:s3cret@127.0.0.1:9/mlflow", tmp_path, WorkError)
    assert line.startswith("MLflow at postgresql+psycopg2://alice:***@127.0.0.1:9/mlflow: connection to server at")
    assert "s3cret" not in line
    assert naps == []


def test_missing_driver_of_a_database_is_the_users_fault(tmp_path: Path) -> None:
    line = told("postgresql+pg8000://alice:s3cret@127.0.0.1:9/mlflow", tmp_path, InputError)
    assert line.endswith("No module named 'pg8000'; expected the driver of this database to be installed")


@pytest.mark.parametrize("uri", ["foo://alice:s3cret@x", "oracle://alice:s3cret@x/db"])
def test_unknown_kind_of_address_is_the_users_fault(tmp_path: Path, uri: str) -> None:
    line = told(uri, tmp_path, InputError)
    assert line.startswith(f"--tracking: {uri.replace('s3cret', '***')}; expected")
