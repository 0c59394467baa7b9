"""Checkpoints of a run: a folder with `tensors.safetensors` and `state.json`, complete or absent. No pickles.

A checkpoint is written beside the others and renamed when it is whole. The one before it is kept, in case the newest
is damaged later: two folders lie under `checkpoints/`, named by their updates.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from raysearch.files.whole import whole_folder

_log = logging.getLogger(__name__)

_TENSORS, _STATE = "tensors.safetensors", "state.json"
_MODEL, _OPTIMISER = "model/", "optimiser/"


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Writes the checkpoint of `step` updates under `folder`; `state` is what JSON can hold."""
    path = folder / "checkpoints" / f"{step:09d}"
    shutil.rmtree(path, ignore_errors=True)
    with whole_folder(path) as part:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part / _TENSORS)
        (part / _STATE).write_text(json.dumps({"step": step, **state}), encoding="utf-8")
    for old in _newest_first(folder)[2:]:
        shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """Tensors and state of the newest checkpoint that can be read; None if there is none."""
    for path in _newest_first(folder):
        try:
            state = json.loads((path / _STATE).read_text(encoding="utf-8"))
            return load_file(path / _TENSORS, device=str(device)), state
        except (OSError, ValueError, SafetensorError) as err:
            _log.warning("checkpoint %s is damaged (%s); using the one before it", path, err)
    return None


def load_weights(folder: Path, device: torch.device) -> dict[str, Tensor]:
    """The module's own tensors in the newest checkpoint that can be read; none if there is no checkpoint."""
    tensors, _ = load(folder, device) or ({}, {})
    return _weights(tensors)


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_MODEL): tensor for name, tensor in tensors.items() if name.startswith(_MODEL)}


def _newest_first(folder: Path) -> list[Path]:
    return sorted((p for p in (folder / "checkpoints").glob("*") if p.name.isdigit()), reverse=True)


def named_tensors(module: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All that a run needs to go on: weights, buffers, and the optimiser's moments under their parameters' names."""
    tensors = {_MODEL + name: tensor for name, tensor in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state[parameter].items():
            tensors[f"{_OPTIMISER}{name}/{key}"] = value
    return tensors


def restore(module: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts `named_tensors` back; a key too many or too few is an error."""
    module.load_state_dict(_weights(tensors))
    parameters = dict(module.named_parameters())
    for key, tensor in tensors.items():
        if key.startswith(_OPTIMISER):
            name, _, entry = key.removeprefix(_OPTIMISER).rpartition("/")
            optimiser.state[parameters[name]][entry] = tensor
