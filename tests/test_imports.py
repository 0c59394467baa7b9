"""The import rules of the house, read from the code itself. They have no exceptions.

A room is a folder of the package. `errors.py` and `settings.py` lie under all rooms. `deploy/runtime/`, which runs on
its own beside a shipped model, is a room of its own.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import raysearch

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "raysearch"

# From the ground up. Whoever stands further down in this list may import whoever stands further up, never the reverse.
ROOMS = (
    *("errors", "settings", "files", "deploy.runtime", "evidence", "front", "tracking", "encoder", "corpora"),
    *("training", "targets", "tasks", "exported", "methods", "teachers", "spec", "storage", "cluster", "lanes"),
    *("search", "simulation", "planning", "deploy", "api", "cli"),
)
# Which rooms may import a heavy library, anywhere in a file.
HEAVY = {
    "ray": {"cluster", "lanes"},
    "ray.train": {"lanes"},
    "ray.tune": {"lanes"},
    "mlflow": {"tracking", "deploy", "deploy.runtime"},
    "optuna": {"storage", "search", "cluster", "simulation"},
    "torchaudio": {"encoder"},
    "lhotse": {"corpora", "targets", "tasks", "training", "methods", "teachers", "planning"},
}
# What a shipped model runs on: numpy, onnxruntime, soundfile, and MLflow where it is served by it.
RUNTIME = {"raysearch.errors", "raysearch.files.recordings", "raysearch.deploy.runtime"}


@cache
def modules() -> dict[str, Path]:
    """Every module of the package, by its dotted name; a package is its `__init__.py`."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imports(path: Path) -> Iterator[str]:
    """Whatever a file imports, wherever in it: in functions and for type checkers, too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative imports hide which room is meant"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in modules() else node.module


def room(module: str) -> str | None:
    """The room of a module of ours; None for the package itself."""
    if module.startswith("raysearch.deploy.runtime"):
        return "deploy.runtime"
    return module.split(".")[1] if "." in module else None


@cache
def arrows() -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports."""
    return {
        module: {name for name in imports(path) if name in modules() and name != "raysearch"}
        for module, path in modules().items()
    }


def test_every_room_has_its_place() -> None:
    assert {room(module) for module in modules()} - {None} == set(ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_a_room_imports_only_rooms_below_it(name: str) -> None:
    below = set(ROOMS[: ROOMS.index(name) + 1])
    for module, imported in arrows().items():
        if room(module) == name:
            above = {other for other in imported if room(other) not in below}
            assert not above, f"{module} imports {', '.join(sorted(above))}, which lie above it"


def test_no_two_files_import_each_other() -> None:
    try:
        TopologicalSorter(arrows()).prepare()
    except CycleError as err:
        pytest.fail(f"a circle of imports: {' -> '.join(err.args[1])}")


def test_only_the_command_line_uses_the_face() -> None:
    """The names of the package itself stand for files of `api`, so whoever uses one imports that room."""
    for module, path in modules().items():
        if room(module) != "cli":
            used = {name for name in face_names(path) if name in raysearch.__all__}
            assert not used, f"{module} uses raysearch.{', raysearch.'.join(sorted(used))}"


def face_names(path: Path) -> Iterator[str]:
    """Names that a file takes from the package itself."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module == "raysearch":
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "raysearch":
            yield node.attr


@pytest.mark.parametrize("library", HEAVY)
def test_heavy_libraries_stay_in_their_rooms(library: str) -> None:
    for module, path in modules().items():
        for imported in imports(path):
            if imported == library or imported.startswith(f"{library}."):
                assert room(module) in HEAVY[library], f"{module} imports {imported}"


def test_a_shipped_model_needs_nothing_else_of_the_package() -> None:
    for module, imported in arrows().items():
        if module.startswith("raysearch.deploy.runtime"):
            other = {name for name in imported if not name.startswith(tuple(RUNTIME))}
            assert not other, f"{module} imports {', '.join(sorted(other))}"


def test_server_knows_the_front_alone() -> None:
    # Of the mirror it knows the words alone: it reads what the mirror has written.
    words = "raysearch.tracking.tags"
    allowed = (words, *(f"raysearch.{room}" for room in ("front", "evidence", "errors", "settings", "files")))
    for path in (ROOT / "mlflow_server").rglob("*.py"):
        for module in imports(path):
            assert module.split(".")[0] != "raysearch" or module.startswith(allowed), f"{path} imports {module}"


def test_rooms_are_small_enough_to_be_looked_over() -> None:
    folders = {path.parent for path in modules().values()}
    large = {str(folder): count for folder in folders if (count := len(list(folder.glob("[!_]*.py")))) > 16}
    assert not large, f"more files than one looks over at once: {large}"


@pytest.mark.parametrize(
    "module",
    [
        *("raysearch", "raysearch.cli", "raysearch.spec.loading", "raysearch.lanes.mailbox", "raysearch.lanes.source"),
        *("raysearch.methods.method", "raysearch.planning.update_cost"),
    ],
)
def test_light_modules_import_no_heavy_library(module: str) -> None:
    assert loaded_by(module, ["torch", "ray", "mlflow", "lhotse", "optuna", "pandas"]) == []


def test_search_knows_nothing_of_ray() -> None:
    assert loaded_by("raysearch.search.searcher", ["ray", "torch"]) == []


def test_lane_actors_load_what_they_need() -> None:
    assert (
        loaded_by("raysearch.lanes.lane", ["torch", "lhotse", "mlflow", "optuna", "scipy", "sklearn", "torchaudio"])
        == []
    )


def loaded_by(module: str, libraries: list[str]) -> list[str]:
    code = f"import sys, {module}; print(*[m for m in {libraries} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
