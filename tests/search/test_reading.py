"""A search kept in one file: fronts are drawn from it on a machine that has neither its folder nor its study."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from raysearch.cli import app
from raysearch.evidence.kept import FILE as EVIDENCE
from raysearch.evidence.kept import judged_cuts, write_evidence
from raysearch.front.front import Mark
from raysearch.front.record import read_record
from raysearch.search.reading import read_document, read_state
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.storage.folder import Links, SearchFolder
from tests.search.made_up import ABOUT, DOCUMENT, TEACHER, run, spec_with


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
    study.note("trials", 6)  # as a driver does when it begins
    (folder.path / "spec.yaml").unlink()  # a front needs the study alone
    assert raysearch("front", spec.name, "--storage", str(tmp_path), "--json") == front
    folder.abandon()
    folder.create(spec, Links(study="", tracking=""))
    compared = raysearch("compare", spec.name, spec.name, "--storage", str(tmp_path), "--json")
    assert raysearch("compare", kept, kept, "--json") == compared


def test_files_of_the_trials_decide_the_marks_by_pairs(tmp_path: Path) -> None:
    """Only of complete trials, and only while they tell of the errors in the study."""
    folder = SearchFolder(tmp_path, "s")
    spec = spec_with(name="s")
    folder.create(spec, Links(study="", tracking=""))
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, ABOUT)
    run(Searcher(spec, study, TEACHER, trials=6, say=lambda _: None))
    complete = [one for one in study.records() if one.state == "complete"]
    assert {one.by for one in read_document(folder).marks.values()} <= {None, "intervals"}
    for one in complete:
        # A hundred million phones, so that any error in percent is a count.
        counts = [round(one.metrics["eval/per"] * 1e5)] * 10
        folder.trial(one.number).mkdir(parents=True)
        judged = judged_cuts([f"c{at}" for at in range(10)], counts, [10**7] * 10)
        write_evidence(folder.trial(one.number) / EVIDENCE, {"eval/per": judged})
    document = read_document(folder)
    assert {one.by for one in document.marks.values()} <= {None, "pairs"}
    assert any(one.by == "pairs" for one in document.marks.values())
    # Errors that differ equally in every cut are told apart however close they are.
    assert {document.marks[number].mark for number in document.front} == {Mark.FRONT}
    kept = tmp_path / "s.json.gz"
    raysearch("record", "s", "-o", str(kept), "--storage", str(tmp_path))
    assert [one.evidence for one in read_record(kept).document.trials] == [one.evidence for one in document.trials]
    for one in complete:
        judged = judged_cuts([f"c{at}" for at in range(10)], [1] * 10, [10**7] * 10)
        write_evidence(folder.trial(one.number) / EVIDENCE, {"eval/per": judged})
    assert {one.by for one in read_document(folder).marks.values()} <= {None, "intervals"}


def test_trial_without_a_cost_has_failed_for_every_reader(tmp_path: Path) -> None:
    """Its configuration has no student with this teacher, so there is nothing that it could cost."""
    space = {**DOCUMENT["space"], "targets.layer": {"choice": [1, 9]}}
    spec = spec_with(space=space, search={"trials": 3, "start": [{"targets.layer": 9}, {"targets.layer": 1}]})
    folder = SearchFolder(tmp_path, spec.name)
    folder.create(spec, Links(study="", tracking=""))
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, ABOUT)
    run(Searcher(spec, study, TEACHER, trials=3, say=lambda _: None))
    refused = [record for record in study.records() if not record.cost.known]
    assert refused
    assert {record.state for record in refused} == {"infeasible"}
    kept = str(tmp_path / "kept.json.gz")
    raysearch("record", spec.name, "-o", kept, "--storage", str(tmp_path))
    for words in (("front", spec.name, "--storage", str(tmp_path)), ("front", kept)):
        trials = json.loads(raysearch(*words, "--json"), parse_constant=pytest.fail)["trials"]
        (first, *_) = (trial for trial in trials if trial["number"] == refused[0].number)
        assert (first["state"], first["cause"]) == ("failed", "input")
        assert first["cost"] == {"macs_g": None, "params_m": None}
        assert first["error"].startswith("targets.layer: 9; expected 1 to 6")
        raysearch(*words)
    # It does not count as a trial: three others were run, and the search is done.
    assert sum(trial["state"] == "complete" for trial in trials) == 3
    assert read_state(folder).finished
    status = json.loads(raysearch("status", spec.name, "--storage", str(tmp_path), "--json"))
    assert status["left_seconds"] is None


def raysearch(*words: str) -> str:
    found = CliRunner().invoke(app, words)
    assert found.exit_code == 0, found.exception
    return found.stdout
