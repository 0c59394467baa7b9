"""What the packages import is declared, and what is declared is used."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

import tomllib
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PACKAGES = ("raysearch", "mlflow_server")
# Imported in one place only, where its absence is one line that says what to install. faiss comes as several
# distributions, for CPUs and for GPUs, so that no extra for users can name the right one.
EXTRA = {"apprise": "notices", "espeakng-loader": "synth", "faiss-cpu": "dev"}


@cache
def imported() -> dict[str, set[str]]:
    """Top-level module of somebody else -> the files that import it."""
    found: dict[str, set[str]] = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("*.py"):
            for module in modules(path.read_text()):
                if module not in sys.stdlib_module_names and module not in PACKAGES:
                    found.setdefault(module, set()).add(str(path.relative_to(ROOT)))
    return found


def modules(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


@cache
def distributions() -> dict[str, set[str]]:
    """Top-level module -> the distributions that bring it; several may share one."""
    return {module: set(map(canonicalize_name, names)) for module, names in packages_distributions().items()}


def declared(extra: str | None = None) -> set[str]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] if extra is None else project["optional-dependencies"][extra]
    return {canonicalize_name(Requirement(line).name) for line in lines}


def test_every_import_is_declared() -> None:
    undeclared = {
        module: sorted(files)
        for module, files in imported().items()
        if not distributions().get(module, set()) & (declared() | set(EXTRA))
    }
    assert undeclared == {}


def test_every_dependency_is_imported() -> None:
    used = {name for module in imported() for name in distributions()[module]}
    assert declared() - used == set()


def test_extras_hold_what_is_imported_from_them() -> None:
    for name, extra in EXTRA.items():
        assert name in declared(extra)
        (module,) = (module for module in imported() if name in distributions()[module])
        assert len(imported()[module]) == 1
