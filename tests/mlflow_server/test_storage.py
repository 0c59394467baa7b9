"""Which folders the server reads: those of the searches that MLflow shows, below the one that its owner names."""

import json

import pytest
from anyio import run as run_async

from mlflow_server.storage import search_folder
from raysearch.errors import InputError


class Shown:
    """MLflow with one run that has these tags."""

    def __init__(self, **tags: str) -> None:
        self.tags = [{"key": f"raysearch.{key}", "value": value} for key, value in tags.items()]

    async def api(self, method: str, endpoint: str, **fields: str) -> dict:
        return {"run": {"data": {"tags": self.tags}}}


@pytest.fixture
def root(tmp_path, monkeypatch):
    (tmp_path / "searches/an4/trials").mkdir(parents=True)
    (tmp_path / "trials").mkdir()
    (tmp_path / "searches/an4/search.json").write_text(json.dumps({"token": "abc"}))
    monkeypatch.setenv("RAYSEARCH_STORAGE", str(tmp_path / "searches"))
    return tmp_path / "searches"


@pytest.mark.parametrize("tags", [{}, {"token": "abc"}])
def test_folder_is_found_by_its_last_name_wherever_the_storage_lies(root, tags):
    assert run_async(search_folder, Shown(folder="/elsewhere/an4", **tags), "r") == root / "an4"


@pytest.mark.parametrize("folder", ["", "..", "/searches/..", "other", "an4/../..", ".hidden", "a b"])
def test_names_that_lead_elsewhere_are_not_followed(root, folder):
    with pytest.raises(InputError, match="no search"):
        run_async(search_folder, Shown(folder=folder), "r")


def test_another_search_of_the_same_name_is_not_shown(root):
    with pytest.raises(InputError, match="another search is called an4"):
        run_async(search_folder, Shown(folder="/s/an4", token="xyz"), "r")


@pytest.mark.parametrize("value", ["", "s3://bucket/searches"])
def test_server_without_a_folder_says_so_in_one_line(monkeypatch, value):
    monkeypatch.setenv("RAYSEARCH_STORAGE", value)
    with pytest.raises(InputError, match=r"RAYSEARCH_STORAGE: .*; expected the folder of the searches") as caught:
        run_async(search_folder, Shown(folder="/s/an4"), "r")
    assert "\n" not in str(caught.value)
