"""A search that is removed for good: what is gone, what stays, and who is in the way."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from typer.testing import CliRunner, Result

from raysearch.cli import app
from raysearch.errors import AwayError, InputError, WorkError
from raysearch.search.study import Study
from raysearch.storage.folder import Links, SearchFolder
from raysearch.storage.lease import Lease, living_driver
from raysearch.storage.removal import remove
from raysearch.storage.studies import open_storage
from tests.search.made_up import ABOUT, spec_with


def searched(root: Path, name: str = "tiny", study: str = "", uri: str = "") -> SearchFolder:
    folder = SearchFolder(root, name, uri)
    folder.create(spec_with(name=name), Links(study=study, tracking=""))
    Study.create(folder.study_storage(), name, ["macs", "per"], ABOUT)
    (folder.trial(0) / "student").mkdir(parents=True)
    (folder.trial(0) / "student" / "model.safetensors").write_bytes(bytes(3_000_000))
    (root / "_store" / "teachers").mkdir(parents=True, exist_ok=True)
    return folder


def rm(root: Path, *words: str, said: str | None = None) -> Result:
    return CliRunner().invoke(app, ["rm", *words, "--storage", str(root)], input=said)


def test_removed_search_is_gone_and_the_store_stays(tmp_path: Path) -> None:
    searched(tmp_path)
    searched(tmp_path, "other")
    found = rm(tmp_path, "tiny", "--yes")
    assert found.stdout == f"{tmp_path}/tiny: removed, 3.0 MB\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["_store", "other"]
    assert str(rm(tmp_path, "tiny", "--yes").exception).startswith("tiny: no such search")


def test_study_in_a_database_goes_with_its_search_alone(tmp_path: Path) -> None:
    database = f"sqlite:///{tmp_path / 'studies.db'}"
    searched(tmp_path, study=database)
    searched(tmp_path, "other", study=database)
    remove(SearchFolder(tmp_path, "tiny"))
    assert optuna.get_all_study_names(open_storage(database)) == ["other"]


def test_search_with_a_living_driver_stays(tmp_path: Path) -> None:
    folder = searched(tmp_path)
    Lease.take(open_storage(folder.study_storage()), "tiny")
    assert "driven by pid" in str(rm(tmp_path, "tiny", "--yes").exception)
    assert folder.trial(0).exists()


def test_copy_and_what_lies_at_the_uri_are_removed_both(tmp_path: Path) -> None:
    there = tmp_path / "there"
    folder = searched(tmp_path / "copy", uri=there.as_uri())
    (there / "tiny" / "trials").mkdir(parents=True)
    (there / "tiny" / "trials" / "file").write_text("x")
    assert remove(folder).place == f"{there.as_uri()}/tiny"
    assert not folder.path.exists()
    assert [path for path in (there / "tiny").rglob("*") if path.is_file()] == []


def test_nobody_to_ask_and_a_no_then_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = searched(tmp_path)
    found = rm(tmp_path, "tiny")
    assert isinstance(found.exception, InputError)
    assert str(found.exception).endswith("expected --yes")
    monkeypatch.setattr("raysearch.cli.searching.asked", lambda question: False)
    assert isinstance(rm(tmp_path, "tiny").exception, WorkError)
    assert folder.exists
    monkeypatch.setattr("raysearch.cli.searching.asked", lambda question: True)
    assert rm(tmp_path, "tiny").exit_code == 0
    assert not folder.path.exists()


def test_removal_that_fails_gives_its_lease_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = searched(tmp_path)

    def away(folder: SearchFolder) -> int:
        raise AwayError("s3://b: gone")

    with monkeypatch.context() as patch:
        patch.setattr("raysearch.storage.removal.size", away)
        with pytest.raises(AwayError):
            remove(folder)
    assert living_driver(open_storage(folder.study_storage()), "tiny") is None
    assert folder.exists
