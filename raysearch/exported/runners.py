"""The ways to run a recogniser: from its checkpoint, as ONNX, as a PyTorch program. All take and give numpy arrays."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from raysearch.deploy.runtime.transcribe import OnnxModel, Run
from raysearch.errors import InputError
from raysearch.exported.speech_model import Recogniser


def run_checkpoint(recogniser: Recogniser) -> Run:
    """Runs the checkpoint with PyTorch. Exported files are compared with it."""
    return _of_torch(recogniser.model())


def run_file(file: Path, threads: int = 0) -> Run:
    """Runs an exported file on so many threads, 0 for the runtime's own choice.

    A `.pt2` uses PyTorch's threads, which are set with `torch.set_num_threads`.

    Raises: InputError if it does not load.
    """
    if file.suffix == ".onnx":
        return OnnxModel(file, threads).run
    try:
        program = torch.export.load(file)
    except (RuntimeError, ValueError, KeyError, OSError) as err:
        raise InputError(f"{file}: {' '.join(str(err).split())[:200]}; expected a torch.export program") from err
    return _of_torch(program.module())


def _of_torch(model: Any) -> Run:
    def run(audio_BS: np.ndarray, samples_B: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with torch.inference_mode():
            # Named for a model that reads tokens. Others give (B, V) or (B, E).
            log_probs_BTV, frames_B = model(torch.from_numpy(audio_BS), torch.from_numpy(samples_B))
        return log_probs_BTV.numpy(), frames_B.numpy()

    return run
