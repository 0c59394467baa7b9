"""The names of the package itself: lazy, complete, and the same for editors as when they are asked for."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import raysearch

ROOT = Path(__file__).parents[2]
HEAVY = ("torch", "ray", "mlflow", "lhotse", "optuna", "pandas", "plotly")


@pytest.mark.parametrize("name", raysearch.__all__)
def test_name_is_there_and_says_what_it_is(name: str) -> None:
    assert name in dir(raysearch)
    assert getattr(raysearch, name).__doc__


def test_editors_see_the_names_from_the_files_that_they_come_from() -> None:
    tree = ast.parse(Path(raysearch.__file__).read_text())
    seen = {
        alias.name: node.module
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("raysearch.api")
        for alias in node.names
    }
    assert seen == {name: getattr(raysearch, name).__module__ for name in raysearch.__all__}


def test_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'raysearch' has no attribute 'serch'"):
        getattr(raysearch, "serch")  # noqa: B009


@pytest.mark.parametrize("first", ["raysearch.search.run", "raysearch.search.searcher"])
def test_search_is_the_function_though_there_is_a_room_of_that_name(first: str) -> None:
    code = (
        f"import {first}, raysearch; from raysearch import search; print(search.__module__, raysearch.search is search)"
    )
    assert python(code) == ["raysearch.api.searches", "True"]


@pytest.mark.parametrize(
    "code",
    [
        "import raysearch; dir(raysearch)",
        "from raysearch import *",
        "import raysearch; raysearch.load_spec('search_spaces/quickstart.yaml')",
        "import raysearch; raysearch.encoder_cost('encoders/hubert-base.yaml')",
    ],
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code: str) -> None:
    assert python(f"import sys; exec({code!r}); print(*[name for name in {HEAVY} if name in sys.modules])") == []


def python(code: str) -> list[str]:
    """The words that a Python of its own prints."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split()
