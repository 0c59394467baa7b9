"""Search documents from Python: changes by key, and the same search under another name."""

from __future__ import annotations

from pathlib import Path

import pytest

import raysearch
from raysearch.api.arguments import spec_of
from raysearch.errors import InputError

QUICKSTART = Path(__file__).parents[2] / "search_spaces/quickstart.yaml"


def test_changes_are_lines_or_values() -> None:
    lines = ["search.trials=2", "teacher.depth=1", "space.student.depth={int: [1, 2]}", "workers={lanes: 1}"]
    values = {"search.trials": 2, "teacher.depth": 1, "space.student.depth": {"int": [1, 2]}, "workers": {"lanes": 1}}
    spec = raysearch.load_spec(QUICKSTART, values)
    assert spec == raysearch.load_spec(str(QUICKSTART), lines)
    assert (spec.search.trials, spec.search.updates, spec.workers.lanes) == (2, 150, 1)


def test_document_takes_another_name_whether_it_was_read_or_not() -> None:
    spec = raysearch.load_spec(QUICKSTART, name="other")
    assert spec.name == "other"
    assert spec_of(QUICKSTART, "other") == spec_of(raysearch.load_spec(QUICKSTART), "other") == spec
    assert spec_of(spec) is spec
    with pytest.raises(InputError, match=r"^quickstart: name: 'a b'; expected"):
        spec_of(raysearch.load_spec(QUICKSTART), "a b")


def test_key_below_a_value_is_refused() -> None:
    with pytest.raises(
        InputError, match=r"--set: name\.x: name is not a mapping; expected a key of the search document"
    ):
        raysearch.load_spec(QUICKSTART, {"name.x": 1})
