"""Where a search keeps its MLflow, and the command that goes on with it."""

from pathlib import Path

import pytest

from raysearch.storage.folder import Links, SearchFolder
from tests.search.made_up import spec_with


def folder_with(root: Path, tracking: str) -> SearchFolder:
    folder = SearchFolder(root, "tiny")
    folder.create(spec_with(), Links(study="", tracking=tracking))
    return folder


def test_mlflow_beside_the_searches_moves_with_them(tmp_path: Path) -> None:
    folder_with(tmp_path / "before", "")
    (tmp_path / "before").rename(tmp_path / "after")
    assert SearchFolder(tmp_path / "after", "tiny").tracking == f"sqlite:///{tmp_path / 'after' / 'mlflow.db'}"


def test_whole_path_of_an_earlier_version_holds_as_long_as_its_folder_is_there(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    folder = folder_with(tmp_path / "s", f"sqlite:///{elsewhere / 'mlflow.db'}")
    assert folder.tracking == f"sqlite:///{elsewhere / 'mlflow.db'}"
    elsewhere.rmdir()
    assert folder.tracking == f"sqlite:///{tmp_path / 's' / 'mlflow.db'}"


@pytest.mark.parametrize("far", [False, True], ids=["folder", "URI"])
def test_curve_of_a_training_that_trials_share_is_read_from_the_store(tmp_path: Path, far: bool) -> None:
    written = tmp_path / "searches/_store/trainings/ab12/curve.jsonl"
    written.parent.mkdir(parents=True)
    line = '{"step": 5, "seconds": 1.5, "metrics": {"train/loss": 2.0}}\n'
    written.write_text(line + line[:9])
    uri = f"file://{tmp_path / 'searches'}" if far else ""
    folder = SearchFolder(tmp_path / "copy" if far else tmp_path / "searches", "tiny", uri)
    assert folder.shared_curve("ab12") == [{"step": 5, "seconds": 1.5, "metrics": {"train/loss": 2.0}}]
    assert folder.shared_curve("removed") == []
    assert not (tmp_path / "copy").exists()


def test_named_tracking_stays(tmp_path: Path) -> None:
    assert folder_with(tmp_path, "http://mlflow:5000").tracking == "http://mlflow:5000"


def test_resume_command_names_the_storage_only_where_it_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAYSEARCH_STORAGE", raising=False)
    assert SearchFolder.of(None, "tiny").resume_command == "raysearch resume tiny"
    assert SearchFolder.of("my runs", "tiny").resume_command == "raysearch resume tiny --storage 'my runs'"
    assert SearchFolder.of("my runs", "tiny").sync_command == "raysearch sync tiny --storage 'my runs'"
    assert SearchFolder.of("s3://b/runs/", "tiny").resume_command == "raysearch resume tiny --storage s3://b/runs"
    hidden = SearchFolder.of("s3://KEY:s3cret@b/runs", "tiny").resume_command
    assert hidden == "raysearch resume tiny --storage 's3://KEY:***@b/runs'"
    monkeypatch.setenv("RAYSEARCH_STORAGE", str(tmp_path / "my runs"))
    assert SearchFolder.of("my runs", "tiny").resume_command == "raysearch resume tiny"


@pytest.mark.parametrize("name", ["tiny", "1e3", "123", "yes", "2001-01-01", "a.b_c-d"])
def test_study_goes_by_the_name_that_its_search_began_with(name: str, tmp_path: Path) -> None:
    folder = SearchFolder(tmp_path, name)
    folder.create(spec_with(name=name), Links(study="", tracking=""))
    folder.path.rename(tmp_path / "renamed")
    assert SearchFolder(tmp_path, "renamed").study_name == name
    (tmp_path / "renamed" / "spec.yaml").write_bytes(b"\xff\xfe")
    assert SearchFolder(tmp_path, "renamed").study_name == "renamed"
