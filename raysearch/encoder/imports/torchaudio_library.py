"""The one place that imports torchaudio, which fails to load where its compiled part was built for another torch."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from raysearch.errors import InputError

FIX = "install the torchaudio built for the same torch, or delete its lib/*.so, which raysearch does not need"


def load_torchaudio(part: str) -> Any:
    """A module of torchaudio: `load_torchaudio("pipelines")`.

    Raises: InputError in one line that says what to install, if torchaudio does not load.
    """
    if fault := torchaudio_fault():
        raise InputError(f"torchaudio: {fault}; expected one that does: {FIX}")
    return import_module(f"torchaudio.{part}")


def torchaudio_fault() -> str:
    """Why torchaudio does not load; empty if it does."""
    try:
        import torchaudio  # noqa: F401
    except (ImportError, OSError, RuntimeError) as err:  # absent; built for another torch; for another CUDA
        import torch

        return f"does not load beside torch {torch.__version__} ({' '.join(str(err).split())})"
    return ""
