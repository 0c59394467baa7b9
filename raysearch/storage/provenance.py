"""Says with what a search ran: versions, hardware and commit. Whoever gets other numbers looks here first."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

PACKAGES = ("raysearch", "torch", "torchaudio", "ray", "optuna", "mlflow", "lhotse", "numpy")


def versions() -> dict[str, str]:
    """Versions of Python and of the libraries that matter, by name."""
    return {"python": platform.python_version(), **{name: importlib.metadata.version(name) for name in PACKAGES}}


def hardware() -> dict[str, str]:
    """The hardware of this process, which is the driver on a cluster: `machine`, `cpus` and `gpu`."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    return {"machine": platform.machine(), "cpus": str(os.cpu_count()), "gpu": gpu}


def git_commit() -> str | None:
    """The commit of the checkout that holds this code; None where it is installed from a wheel."""
    checkout = Path(__file__).parents[2]
    # An installed package may lie in the checkout of something else, whose commit says nothing about this code.
    if not (checkout / ".git").exists():
        return None
    found = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, cwd=checkout)
    return found.stdout.strip() if found.returncode == 0 else None
