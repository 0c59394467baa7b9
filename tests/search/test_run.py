"""A used name: what the second search with it is told. The reference point of a space with impossible corners."""

from pathlib import Path

import pytest
from made_up import DOCUMENT, TEACHER, spec_with

from raysearch.encoder.cost import macs_superb
from raysearch.errors import InputError
from raysearch.search.folder import Links, SearchFolder
from raysearch.search.run import reference_point, start_search
from raysearch.spec import Spec


def start_again(folder: SearchFolder, spec: Spec) -> str:
    with pytest.raises(InputError) as refused:
        start_search(spec, folder, study_url="", tracking="", address=None, say=lambda _: None)
    return str(refused.value)


@pytest.fixture
def used(tmp_path: Path) -> SearchFolder:
    folder = SearchFolder(tmp_path, "tiny")
    assert folder.create(spec_with(), Links(study="", tracking=""))
    return folder


def test_used_name_with_the_same_document_gives_the_resume_command(used: SearchFolder) -> None:
    assert start_again(used, spec_with()).endswith("expected a new name, or: raysearch resume tiny")


def test_used_name_with_a_changed_document_says_what_changed(used: SearchFolder) -> None:
    space = {**DOCUMENT["space"], "student.depth": {"int": [1, 4]}}
    said = start_again(used, spec_with(space=space, search={**DOCUMENT["search"], "updates": 200}))
    assert "(space.student.depth.int: [1, 6] -> [1, 4], search.updates: 100 -> 200)" in said
    assert "resume" not in said


def test_used_name_with_more_trials_gives_the_command_that_extends(used: SearchFolder) -> None:
    said = start_again(used, spec_with(search={**DOCUMENT["search"], "trials": 9}))
    assert said.endswith("(search.trials: 6 -> 9); expected a new name, or: raysearch resume tiny --trials 9")


def test_two_that_create_one_folder_get_it_once(used: SearchFolder) -> None:
    before = used.spec()
    assert not used.create(spec_with(search={"trials": 9}), Links(study="", tracking=""))
    assert used.spec() == before
    assert sorted(path.name for path in used.path.iterdir()) == ["search.json", "spec.yaml"]


def test_reference_point_of_a_space_with_impossible_corners_then_from_the_rest() -> None:
    space = {"pruning.macs_ratio": {"float": [0.01, 0.9]}}
    (macs_g, per) = reference_point(spec_with(method="hjpruning", student={}, space=space), TEACHER)
    assert macs_g == pytest.approx(1.05 * 0.9 * macs_superb(TEACHER) / 1e9, rel=0.03)
    assert per == 100
