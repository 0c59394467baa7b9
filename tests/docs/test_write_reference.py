"""The pages of docs/reference/ are what the code gives, and leave nothing unexplained."""

from __future__ import annotations

import json
import runpy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field
from typer.main import get_command

from raysearch.cli import app
from raysearch.methods.table import METHODS
from raysearch.settings import Settings
from raysearch.spec.space import setting_keys
from raysearch.tasks.table import TASKS

ROOT = Path(__file__).parents[2]
WRITE: dict[str, Any] = runpy.run_path(str(ROOT / "docs/write_reference.py"))
SETTINGS = (ROOT / "docs/reference/settings.md").read_text(encoding="utf-8")
VERBS = (ROOT / "docs/reference/verbs.md").read_text(encoding="utf-8")


class Inner(Settings):
    clusters: int = Field(5, ge=2)
    """How many | there are, in frames."""


class Outer(Settings):
    share: float = Field(0.5, gt=0, lt=1)
    """Share of <them>, not `<these>`."""
    one: Inner = Inner(clusters=7)
    many: list[Inner] = []
    """Several."""
    rest_s: float
    """What is left."""


def table_rows(page: str, columns: int) -> Iterator[list[str]]:
    """The cells of every row whose first cell is a name."""
    for line in page.splitlines():
        cells = [cell.strip() for cell in line.replace("\\|", "/").split("|")[1:-1]]
        if cells and cells[0].startswith("`") and len(cells) >= columns and "x" not in cells:
            yield cells


@pytest.mark.parametrize("name", WRITE["PAGES"])
def test_page_is_current(name: str) -> None:
    written = (ROOT / "docs/reference" / name).read_text(encoding="utf-8")
    assert written == WRITE["PAGES"][name](), "the code has changed; run: python docs/write_reference.py"


@pytest.mark.parametrize("name", WRITE["SCHEMAS"])
def test_schema_is_current(name: str) -> None:
    written = json.loads((ROOT / name).read_text(encoding="utf-8"))
    assert written == WRITE["SCHEMAS"][name](), "the code has changed; run: python docs/write_reference.py"


def test_every_setting_has_a_meaning() -> None:
    found = list(table_rows(SETTINGS, 5))
    assert len(found) > 200
    assert [cells[0] for cells in found if not cells[4]] == []


@pytest.mark.parametrize("method", METHODS)
def test_every_setting_of_a_method_is_there(method: str) -> None:
    assert [key for key in setting_keys(method) if f"| `{key}` |" not in SETTINGS] == []


def test_every_task_is_there() -> None:
    assert [task for task in TASKS if f"### `kind: {task}`" not in SETTINGS] == []


def test_every_verb_is_there() -> None:
    headings = {line.removeprefix("## ") for line in VERBS.splitlines() if line.startswith("## ")}
    assert headings == {
        f"{name} {word}".strip()
        for name, verb in get_command(app).commands.items()
        for word in getattr(verb, "commands", None) or [""]
    }


def test_every_option_has_a_meaning() -> None:
    options = [cells for cells in table_rows(VERBS, 3) if cells[0].startswith("`-")]
    # Bounds alone, in brackets, are no meaning.
    assert [cells[0] for cells in options if not cells[2].partition("(")[0]] == []


def test_rows_of_a_model_hold_key_kind_unit_default_and_meaning() -> None:
    found = {one.key: one for one in WRITE["rows"](Outer, "outer.")}
    assert list(found) == ["outer.share", "outer.one.clusters", "outer.many", "outer.many[].clusters", "outer.rest_s"]
    clusters = found["outer.one.clusters"]
    assert (clusters.kind, clusters.unit, clusters.default) == ("whole number ≥ 2", "frames", "`7`")
    assert found["outer.many[].clusters"].default == "`5`"
    share, rest = found["outer.share"], found["outer.rest_s"]
    assert (share.kind, share.unit, share.default) == ("number > 0, < 1", "share", "`0.5`")
    assert (rest.kind, rest.unit, rest.default) == ("number", "s", "needed")


def test_cells_keep_to_their_table() -> None:
    lines = WRITE["settings_table"](WRITE["rows"](Outer))
    assert lines[2].endswith("| Share of &lt;them>, not `<these>`. |")
    assert lines[3].endswith("| How many \\| there are, in frames. |")
