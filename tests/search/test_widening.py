"""A search that goes on with a wider space keeps its trials, on a journal and on PostgreSQL."""

from collections.abc import Callable
from pathlib import Path

import pytest

from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.search.widening import Wider, keep_wider, whole_document
from raysearch.spec.widening import widened
from raysearch.storage.folder import Links, SearchFolder
from tests.search.made_up import ABOUT, TEACHER, error_of, run, spec_with

LINES = [
    "space.student.width={choice: [64, 128, 256, 384]}",
    "space.student.depth={int: [1, 12]}",
    "space.student.heads={choice: [2, 4, 8]}",
    "space.targets.clusters={choice: [50, 100, 200, 400]}",
]


def searcher_on(study: Study, spec: object, trials: int) -> Searcher:
    return Searcher(spec, study, TEACHER, trials=trials, say=lambda _: None)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "sampler", ["ehvi", pytest.param("random", marks=pytest.mark.slow), pytest.param("tpe", marks=pytest.mark.slow)]
)
def test_wider_space_keeps_every_trial_and_finds_what_was_out_of_range(
    sampler: str, study_storage: str, tmp_path: Path
) -> None:
    old = spec_with(search={"trials": 8, "updates": 100, "sampler": sampler})
    folder = SearchFolder(tmp_path, "tiny")
    folder.create(old, Links(study=study_storage if "://" in study_storage else "", tracking=""))
    study = Study.create(folder.study_storage(), old.name, old.objectives, {**ABOUT, "token": folder.links().token})
    run(searcher_on(study, old, 8))
    before = study.records()
    for round_, lines in enumerate((LINES, ["space.student.width={choice: [64, 128, 256, 384, 512]}"]), 2):
        begun = Study.of(folder)
        now = whole_document(folder, begun)
        new, changes = widened(now, lines)
        keep_wider(folder, begun, Wider(now, new, changes))
        assert folder.spec() == new
        assert whole_document(folder, Study.of(folder)) == new
        run(searcher_on(Study.of(folder), new, 8 * round_ + 12))
    study = Study.of(folder)
    after = study.records()
    assert study.history[0]["trial"] == len(before)
    for was, now_ in zip(before, after, strict=False):
        assert now_.config == {**was.config, "student.heads": 4}
        assert (now_.number, now_.state, now_.metrics, now_.cost) == (was.number, was.state, was.metrics, was.cost)
    later = [one.config for one in after[len(before) :] if one.state == "complete"]
    assert any(one["student.heads"] != 4 for one in later)
    # The model need not go far out where nothing is gained there.
    found = [one["student.width"] > 256 for one in later], [one["student.depth"] > 6 for one in later]
    assert any(found[0] + found[1]) if sampler == "ehvi" else any(found[0]) and any(found[1])
    assert sum(one.state == "complete" for one in after) == 36
    assert set(study.importances()["macs"]) <= {"method", *spec_with().space, "student.heads"}


def test_interrupted_trial_of_the_narrow_space_goes_on_in_the_wide_one(study_storage: str, tmp_path: Path) -> None:
    old = spec_with()
    folder = SearchFolder(tmp_path, "tiny")
    folder.create(old, Links(study=study_storage if "://" in study_storage else "", tracking=""))
    study = Study.create(folder.study_storage(), old.name, old.objectives, {**ABOUT, "token": folder.links().token})
    first = searcher_on(study, old, 4).suggest()
    assert first is not None
    new, changes = widened(old, LINES)
    keep_wider(folder, study, Wider(old, new, changes))
    again = searcher_on(Study.of(folder), new, 4).suggest()
    assert again is not None
    assert (again.number, again.config) == (first.number, {**first.config, "student.heads": 4})


def test_driver_that_dies_between_study_and_folder_leaves_the_wider_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = spec_with()
    folder = SearchFolder(tmp_path, "tiny")
    folder.create(old, Links(study="", tracking=""))
    study = Study.create(folder.study_storage(), old.name, old.objectives, ABOUT)
    new, changes = widened(old, LINES)

    def die(self: SearchFolder, spec: object) -> None:
        raise OSError("killed")

    monkeypatch.setattr(SearchFolder, "rewrite", die)
    with pytest.raises(OSError, match="killed"):
        keep_wider(folder, study, Wider(old, new, changes))
    assert folder.spec() == old
    assert whole_document(folder, Study.of(folder)) == new


def test_search_of_an_earlier_version_is_opened_and_widened(start: Callable[..., Searcher]) -> None:
    """Its study has no history, and its trials no gains."""
    searcher = start(spec_with())
    run(searcher)
    assert searcher.study.history == []
    assert error_of(searcher.study.records()[0].config) > 0
    assert "history" not in searcher.study.about
