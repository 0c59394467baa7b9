"""The import rules of the house, read from the code itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "raysearch"
ROOMS = sorted(path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != "__pycache__")

# Who may import a heavy library, anywhere in a file.
ALLOWED = {
    "ray": {"search", "training"},
    "mlflow": {"tracking", "deploy"},
    "optuna": {"search"},
    "lhotse": {"corpora", "targets", "tasks", "training", "methods"},
}
# Who may know whom; a room may always know itself.
KNOWS = {
    "encoder": set(),
    "corpora": {"encoder"},
    "front": set(),
    "targets": {"encoder", "corpora", "methods"},
    "tasks": {"encoder", "corpora"},
    "methods": {"encoder", "corpora", "targets", "tasks", "training"},
    "training": {"encoder", "corpora", "targets", "tasks", "methods"},
    "tracking": {"front"},
    "search": {"encoder", "corpora", "targets", "methods", "training", "front", "tracking"},
    "deploy": {"encoder", "corpora", "tasks", "front", "search", "training"},
    "cli": {"encoder", "corpora", "targets", "front", "search", "training", "tracking", "deploy"},
}


def imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("room", ROOMS)
def test_heavy_libraries_stay_in_their_rooms(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for module in imports(path):
            library = module.split(".")[0]
            assert room in ALLOWED.get(library, {room}), f"{path} imports {module}"


@pytest.mark.parametrize("room", ROOMS)
def test_rooms_know_only_what_lies_below(room: str) -> None:
    for path in (PACKAGE / room).rglob("*.py"):
        for module in imports(path):
            parts = module.split(".")
            if parts[0] == "raysearch" and len(parts) > 1 and parts[1] in ROOMS:
                assert parts[1] in KNOWS[room] | {room}, f"{path} imports {module}"


def test_server_knows_the_front_alone() -> None:
    allowed = ("raysearch.front", "raysearch.errors", "raysearch.settings")
    for path in (PACKAGE.parent / "mlflow_server").rglob("*.py"):
        for module in imports(path):
            assert module.split(".")[0] != "raysearch" or module.startswith(allowed), f"{path} imports {module}"


@pytest.mark.parametrize("module", ["raysearch", "raysearch.cli", "raysearch.spec", "raysearch.search.mailbox"])
def test_light_modules_import_no_heavy_library(module: str) -> None:
    assert loaded_by(module, ["torch", "ray", "mlflow", "lhotse", "optuna"]) == []


def test_lane_actors_load_what_they_need() -> None:
    assert loaded_by("raysearch.search.lane", ["lhotse", "mlflow", "optuna", "scipy", "sklearn", "torchaudio"]) == []


def loaded_by(module: str, libraries: list[str]) -> list[str]:
    code = f"import sys, {module}; print(*[m for m in {libraries} if m in sys.modules])"
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
