"""Where a search stands, with drivers that live and drivers that are gone, under its name and under another."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from raysearch.cli import app
from raysearch.errors import InputError, WorkError
from raysearch.search.run import claim
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.search.watching.watcher import Watcher
from raysearch.storage.folder import Links, SearchFolder
from raysearch.storage.holder import Holder
from raysearch.storage.lease import Lease
from raysearch.storage.stage import Stage, read_stage, write_stage
from raysearch.storage.studies import open_storage
from raysearch.training.monitoring.progress import Step
from tests.search.made_up import ABOUT, TEACHER, run, spec_with

LINKS = Links(study="", tracking="")
TRAINING = Step("training", 40, 200, "updates", 2.5, rate=4.0)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RAYSEARCH_STORAGE", str(tmp_path))
    return tmp_path


def begun(root: Path, name: str = "tiny") -> SearchFolder:
    """A search whose name is taken, and nothing more."""
    folder = SearchFolder(root, name)
    assert folder.create(spec_with(name=name), LINKS)
    return folder


def searched(folder: SearchFolder, trials: int) -> Study:
    """The study of a search that was asked for 6 trials and has run so many of them; one more is under way, or none."""
    spec = folder.spec()
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, ABOUT | {"trials": 6})
    searcher = Searcher(spec, study, TEACHER, trials=6, say=lambda _: None)
    run(searcher, until=trials)
    searcher.suggest()
    return study


def drive(folder: SearchFolder) -> Lease:
    return Lease.take(open_storage(folder.study_storage()), folder.study_name)


def raysearch(*words: str) -> Result:
    return CliRunner().invoke(app, words)


def status(name: str) -> dict:
    return json.loads(raysearch("status", name, "--json").stdout)


@pytest.mark.parametrize(
    ("phase", "doing"), [("teacher", "training its teacher"), ("shared", "training what its trials share")]
)
def test_status_says_how_far_it_is_before_the_trials_and_spoils_no_other_search(
    root: Path, phase: str, doing: str
) -> None:
    folder = begun(root)
    searched(begun(root, "whole"), 6)
    drive(folder)
    write_stage(folder.path, Stage(phase, {phase: TRAINING}))
    found = raysearch("status")
    assert found.exit_code == 0
    tiny, whole = found.stdout.splitlines()
    assert tiny.startswith("tiny: no trial yet of 6; ")
    assert tiny.endswith(f"; {doing}: training 40/200 updates, loss 2.5, 4/s, 40 s left")
    assert whole.startswith("whole: 6 complete of 6; front")
    assert "continue" not in whole
    assert status("tiny")["works"][phase]["left_seconds"] == 40.0
    front = raysearch("front", "tiny")
    assert str(front.exception) == (
        f"tiny: no trial yet: {doing}; {phase}: training 40/200 updates, loss 2.5, 4/s, 40 s left"
    )


def test_driver_that_died_leaves_an_interrupted_search_and_the_command_that_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(root)
    searched(folder, 2)
    drive(folder)
    write_stage(folder.path, Stage("trials", {"trial 2": TRAINING, "trial 1": TRAINING}))
    found = status("tiny")
    assert (found["state"], found["doing"], list(found["works"])) == ("running", "running", ["trial 2"])
    assert found["trials"] == {"complete": 2, "running": 1}
    assert raysearch("front", "tiny").stdout.startswith("tiny: 3 trials (2 complete, 1 running), front ")
    monkeypatch.setattr(Holder, "is_dead", lambda self, silent_s: True)
    found = status("tiny")
    assert (found["state"], found["works"], found["driver"]) == ("interrupted", {}, "")
    assert found["trials"] == {"complete": 2, "interrupted": 1}
    assert raysearch("status").stdout.endswith("; interrupted; continue with: raysearch resume tiny\n")
    front = raysearch("front", "tiny", "--all")
    assert front.stderr == "tiny: interrupted; continue with: raysearch resume tiny\n"
    assert front.stdout.startswith("tiny: 3 trials (2 complete, 1 interrupted), front ")
    assert [line.split()[1] for line in front.stdout.splitlines()[2:5]] == ["complete", "complete", "interrupted"]
    # A file says nothing of a driver: nothing goes on in it.
    record = str(root / "kept.json.gz")
    raysearch("record", "tiny", "-o", record)
    assert raysearch("front", record).stdout.startswith("tiny: 3 trials (2 complete, 1 interrupted), front ")


def test_search_that_failed_says_why_until_it_goes_on(root: Path) -> None:
    folder = begun(root)
    with pytest.raises(WorkError), Watcher(folder).ending():
        raise WorkError("disk full\nand more")
    assert str(raysearch("front", "tiny").exception) == (
        "tiny: no trial yet: failed: disk full; continue with: raysearch resume tiny"
    )
    watcher = Watcher(folder)
    assert read_stage(folder.path) == Stage("starting")
    with pytest.raises(KeyboardInterrupt), watcher.ending():
        raise KeyboardInterrupt
    assert status("tiny")["state"] == "interrupted"


def test_stage_is_written_now_and_then_with_what_was_read_last(root: Path) -> None:
    folder, now = begun(root), [0.0]
    watcher = Watcher(folder, lambda: now[0])
    watcher.enter("teacher")
    shown: list[object] = []
    with watcher.following(lambda: {"teacher": TRAINING}, every_s=0.001):
        while not shown or not shown[-1]:
            watcher.tick(shown.append)
    assert shown[-1] == {"teacher": TRAINING}
    assert read_stage(folder.path) == Stage("teacher")
    now[0] = 2.0
    watcher.tick(shown.append)
    assert read_stage(folder.path) == Stage("teacher", {"teacher": TRAINING})


def test_one_search_that_cannot_be_read_is_named_and_the_others_are_shown(root: Path) -> None:
    searched(begun(root, "whole"), 6)
    (begun(root).path / "spec.yaml").write_text("name: tiny\nspace: 3\n")
    found = raysearch("status")
    assert found.exit_code == 0
    assert found.stdout.startswith("whole: 6 complete")
    assert found.stderr.startswith("tiny: not read: ")


def test_renamed_folder_is_read_under_its_new_name(root: Path) -> None:
    searched(begun(root, "one"), 6)
    (root / "one").rename(root / "renamed")
    assert raysearch("status").stdout.startswith("renamed: 6 complete of 6")
    found = json.loads(raysearch("front", "renamed", "--json").stdout)
    assert (found["name"], len(found["trials"])) == ("renamed", 6)
    folder = SearchFolder(root, "renamed")
    # Its name is taken, and that which it had is free.
    assert not claim(spec_with(name="renamed"), folder, LINKS)
    assert claim(spec_with(name="one"), SearchFolder(root, "one"), LINKS)
    assert Study.open(folder.study_storage(), folder.study_name).name == "one"


def test_lease_on_a_renamed_folder_is_that_of_its_study(root: Path) -> None:
    searched(begun(root, "one"), 2)
    (root / "one").rename(root / "renamed")
    folder = SearchFolder(root, "renamed")
    drive(folder)
    assert status("renamed")["state"] == "running"
    with pytest.raises(InputError, match="driven by pid"):
        drive(folder)


def test_search_whose_trials_all_ended_has_failed_if_its_driver_said_so(root: Path) -> None:
    folder = begun(root)
    searched(folder, 6)
    write_stage(folder.path, Stage("failed", reason="6 of 6 trials failed"))
    found = status("tiny")
    assert (found["state"], found["reason"], found["resume"]) == ("failed", "6 of 6 trials failed", "")
    assert raysearch("status").stdout.endswith("; failed: 6 of 6 trials failed\n")
