"""A search kept in one file: fronts are drawn from it on a machine that has neither its folder nor its study."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raysearch.cli import app
from raysearch.front.record import read_record
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.storage.folder import Links, SearchFolder
from tests.search.made_up import ABOUT, TEACHER, run, spec_with


def test_front_of_a_record_is_that_of_its_search(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    spec = spec_with(corpus={"kind": "an4", "root": str(tmp_path / "an4")})
    folder = SearchFolder(tmp_path, spec.name)
    folder.create(spec, Links(study="", tracking=""))
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, ABOUT)
    run(Searcher(spec, study, TEACHER, trials=6, say=lambda _: None))
    kept = str(tmp_path / "kept.json.gz")
    said = raysearch("record", spec.name, "-o", kept, "--storage", str(tmp_path))
    assert said.startswith(f"{kept}: 6 trials")
    assert read_record(Path(kept)).spec["corpus"]["root"] == "../an4"
    front = raysearch("front", spec.name, "--storage", str(tmp_path), "--json")
    assert len(json.loads(front)["trials"]) == 6
    assert raysearch("front", kept, "--json") == front
    (folder.path / "spec.yaml").unlink()  # a front needs the study alone
    assert raysearch("front", spec.name, "--storage", str(tmp_path), "--json") == front
    folder.abandon()
    folder.create(spec, Links(study="", tracking=""))
    compared = raysearch("compare", spec.name, spec.name, "--storage", str(tmp_path), "--json")
    assert raysearch("compare", kept, kept, "--json") == compared


def raysearch(*words: str) -> str:
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.exception
    return found.stdout
