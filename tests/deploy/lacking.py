"""Python in a process of its own that lacks some modules, as where they are not installed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HEAVY = "torch lhotse mlflow ray onnx scipy"


def run_without(modules: str, code: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    hide = f"import sys\nfor name in {modules.split()}: sys.modules[name] = None\n"
    return subprocess.run([sys.executable, "-c", hide + code], capture_output=True, text=True, cwd=cwd, check=False)


def raysearch_without(modules: str, *words: object) -> str:
    """What a verb prints."""
    argv = ["raysearch", *map(str, words)]
    found = run_without(modules, f"sys.argv = {argv!r}\nfrom raysearch.cli import main\nmain()")
    assert found.returncode == 0, found.stderr
    return found.stdout
