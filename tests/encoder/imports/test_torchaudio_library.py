"""A torchaudio that does not load is one line that says what to do, wherever it is needed, and nowhere else."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
FAULTS = {
    "built for another torch": 'OSError("Could not load this library:\\n_torchaudio.abi3.so")',
    "built for another CUDA": 'RuntimeError("PyTorch and TorchAudio were compiled with different CUDA versions")',
    "absent": "ModuleNotFoundError(\"No module named 'torchaudio'\")",
}


@pytest.fixture
def broken(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, str]:
    """Variables of a process whose torchaudio fails to load."""
    (tmp_path / "torchaudio").mkdir()
    (tmp_path / "torchaudio/__init__.py").write_text(f"raise {request.param}\n")
    return {**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"}


def run(variables: dict[str, str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *words], capture_output=True, text=True, env=variables)


@pytest.mark.parametrize("broken", FAULTS.values(), ids=FAULTS, indirect=True)
def test_weights_of_torchaudio_cannot_be_had(broken: dict[str, str], tmp_path: Path) -> None:
    found = run(broken, "-m", "raysearch.cli", "convert", "torchaudio:HUBERT_BASE", "-o", tmp_path / "out")
    assert found.returncode == 2
    (line,) = found.stderr.splitlines()
    assert line.startswith("torchaudio: does not load beside torch ")
    assert "; expected one that does: install the torchaudio built for the same torch" in line


@pytest.mark.parametrize("broken", [FAULTS["built for another torch"]], indirect=True)
def test_mfccs_cannot_be_had(broken: dict[str, str]) -> None:
    code = """
from types import SimpleNamespace
import torch
from raysearch.errors import InputError
from raysearch.targets.features import mfcc_features
batch = SimpleNamespace(cuts=[SimpleNamespace(id="a")], audio_BS=torch.zeros(1, 800), samples_B=torch.tensor([800]))
try:
    next(mfcc_features([batch]))
except InputError as err:
    print(err)
"""
    assert run(broken, "-c", code).stdout.startswith("torchaudio: does not load beside torch ")


@pytest.mark.parametrize("broken", [FAULTS["built for another torch"]], indirect=True)
def test_all_else_works_without_it(broken: dict[str, str]) -> None:
    modules = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "raysearch").rglob("*.py")
        if not path.stem.startswith("__")
    ]
    code = f"import importlib\nfor module in {modules}: importlib.import_module(module)"
    found = run(broken, "-c", code)
    assert found.returncode == 0, found.stderr
