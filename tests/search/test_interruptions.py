"""A search that ends by bad luck: the line that says how to go on, and the search that goes on."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from raysearch.errors import AwayError, InputError, WorkError
from raysearch.search.interruptions import told_how_to_go_on
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.storage.folder import SearchFolder
from tests.search.made_up import ABOUT, DOCUMENT, TEACHER, run, spec_with

SPEC = spec_with(search={**DOCUMENT["search"], "sampler": "random"})


def drive(journal: Path) -> None:
    """All that a driver writes, from making the study to the last trial."""
    try:
        study = Study.open(str(journal), SPEC.name)
        study.fill(SPEC.objectives, ABOUT)
    except KeyError:
        study = Study.create(str(journal), SPEC.name, SPEC.objectives, ABOUT)
    run(Searcher(SPEC, study, TEACHER, trials=6, say=lambda _: None))


def outcome(journal: Path) -> list[object]:
    return [(r.number, r.config, r.state, r.metrics) for r in Study.open(str(journal), SPEC.name).records()]


@pytest.mark.parametrize("write", range(0, 20, 2))
def test_disk_that_fills_at_any_write_then_the_resumed_search_is_the_uninterrupted_one(
    write: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive(tmp_path / "whole.journal")
    sync, done = os.fsync, 0

    def fill(descriptor: int) -> None:
        nonlocal done
        done += 1
        if done > write:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(descriptor)

    journal = tmp_path / "full.journal"
    monkeypatch.setattr(os, "fsync", fill)
    resume = f"raysearch resume tiny --storage {tmp_path}"
    line = f"tiny: disk full while writing {journal}; nothing is lost: free some space, then: {resume}"
    with pytest.raises(WorkError) as ended, told_how_to_go_on(SearchFolder(tmp_path, "tiny")):
        drive(journal)
    assert str(ended.value) == line
    monkeypatch.setattr(os, "fsync", sync)
    drive(journal)
    assert outcome(journal) == outcome(tmp_path / "whole.journal")


def test_disk_of_a_trial_that_is_full_then_the_way_on_is_told(tmp_path: Path) -> None:
    study = Study.create(str(tmp_path / "study.journal"), SPEC.name, SPEC.objectives, ABOUT)
    searcher = Searcher(SPEC, study, TEACHER, trials=6, say=lambda _: None)
    suggestion = searcher.suggest()
    assert suggestion
    searcher.fail(suggestion.number, "disk", "disk full while writing state.json")
    with pytest.raises(WorkError) as ended, told_how_to_go_on(SearchFolder(tmp_path, "tiny")):
        searcher.suggest()
    resume = f"raysearch resume tiny --storage {tmp_path}"
    line = "trial 0: disk full while writing state.json; nothing is lost: free some space, then"
    assert str(ended.value) == f"{line}: {resume}"


def test_database_that_is_away_then_the_way_on_is_told(tmp_path: Path) -> None:
    line = r"the study's database x: gone; once it answers: raysearch resume tiny --storage .*$"
    with pytest.raises(WorkError, match=line), told_how_to_go_on(SearchFolder(tmp_path, "tiny")):
        raise AwayError("the study's database x: gone")


def test_wrong_input_and_faults_of_ours_stay_as_they_are(tmp_path: Path) -> None:
    for fault in (InputError("name: 1"), ZeroDivisionError(), KeyboardInterrupt()):
        with pytest.raises(type(fault)) as ended, told_how_to_go_on(SearchFolder(tmp_path, "tiny")):
            raise fault
        assert ended.value is fault
