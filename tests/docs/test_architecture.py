"""docs/architecture.md tells of the code as it is: its rooms in their order, and files that are there."""

from __future__ import annotations

import re
from pathlib import Path

from tests.test_imports import PACKAGE, ROOMS

PAGE = (Path(__file__).parents[2] / "docs/architecture.md").read_text(encoding="utf-8")


def test_rooms_are_those_of_the_import_rules_in_their_order() -> None:
    table = PAGE.partition("## The rooms")[2].partition("###")[0]
    listed = re.findall(r"^\| `([\w/]+)` \|", table, re.MULTILINE)
    assert [room.replace("/", ".") for room in listed] == list(ROOMS)


def test_files_of_a_trials_life_are_there() -> None:
    life = PAGE.partition("## The life of a trial")[2]
    named = set(re.findall(r"[`>, ](\w+/[\w/]+\.py)", life))
    assert len(named) > 40
    assert [name for name in sorted(named) if not (PACKAGE / name).is_file()] == []
