"""Each method has a page whose table of settings has the code's defaults, and whose document is one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from raysearch.methods.table import METHODS, load_method
from raysearch.search.checks.possible import refuse_impossible
from raysearch.spec.loading import parse_spec
from raysearch.teachers.shape import known_shape

FOLDER = Path(__file__).parents[2] / "docs/methods"
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in FOLDER.glob("*.md") if path.stem != "index"}


def sections() -> Iterator[tuple[str, str]]:
    """Each method's name and what its page says of it: a page is of its own name until a heading names another."""
    for stem, text in PAGES.items():
        name = stem
        for section in re.split(r"^## ", text, flags=re.MULTILINE):
            heading = section.partition("\n")[0]
            name = heading if heading in METHODS else name
            yield name, section


def rows() -> Iterator[tuple[str, str, Any]]:
    """Method, key and default of each row of the tables of settings."""
    for method, section in sections():
        for key, default in re.findall(r"^\| `(\w+\.\w+)` \| `([^`]*)` \|", section, re.MULTILINE):
            yield method, key, yaml.safe_load(default)


def documents() -> dict[str, Any]:
    found = {name: re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL) for name, text in PAGES.items()}
    return {name: yaml.safe_load(block) for name, blocks in found.items() for block in blocks}


@pytest.mark.parametrize(("method", "key", "default"), list(rows()), ids=str)
def test_default_is_the_codes(method: str, key: str, default: Any) -> None:
    group, field = key.split(".")
    kept = getattr(getattr(load_method(method).Settings(), group), field)
    assert default == (pytest.approx(kept, rel=1e-3) if isinstance(kept, float) else kept)


def test_every_method_has_settings_and_a_document() -> None:
    assert {method for method, _, _ in rows()} == set(METHODS)
    specs = [parse_spec(document, where=f"{name}.md") for name, document in documents().items()]
    assert {method for spec in specs for method in spec.methods} == set(METHODS)


@pytest.mark.parametrize("name", documents())
def test_no_document_is_impossible(name: str) -> None:
    spec = parse_spec(documents()[name], where=f"{name}.md")
    shape = known_shape(spec.teacher)
    assert shape is not None
    refuse_impossible(spec, shape)


def test_every_method_is_in_the_index() -> None:
    text = (FOLDER / "index.md").read_text(encoding="utf-8")
    assert set(re.findall(r"^\| \[`([\w-]+)`\]\([\w-]+\.md", text, re.MULTILINE)) == set(METHODS)
