"""Checkpoints of a run, from which it resumes. Nothing in them is pickled.

A checkpoint is a folder with `tensors.safetensors`, `state.json` and the seal of both. It is written under another name
and renamed when it is whole, so it is complete or absent. The one before it is kept, in case the newest is damaged
later. So two folders lie under `checkpoints/`, named by the updates that were done.
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

from raysearch.files.seal import damage, seal
from raysearch.files.whole import whole_folder

_log = logging.getLogger(__name__)

_FOLDER = "checkpoints"
_TENSORS, _STATE, _SEAL = "tensors.safetensors", "state.json", "seal.json"
_MODEL, _OPTIMISER = "model/", "optimiser/"


def save(folder: Path, step: int, tensors: Mapping[str, Tensor], state: Mapping[str, Any]) -> None:
    """Writes a checkpoint after `step` updates into the run's `folder`. `state` holds what JSON can hold."""
    path = folder / _FOLDER / f"{step:09d}"
    # A damaged checkpoint of the same update may lie there, from which a resumed run did not start.
    shutil.rmtree(path, ignore_errors=True)
    with whole_folder(path) as part:
        save_file({name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}, part / _TENSORS)
        (part / _STATE).write_text(json.dumps({"step": step, **state}), encoding="utf-8")
        seal(part, _SEAL)
    for old in _newest_first(folder)[2:]:
        shutil.rmtree(old, ignore_errors=True)


def load(folder: Path, device: torch.device) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and the state of the newest checkpoint that can be read. None if there is none."""
    for path in _newest_first(folder):
        try:
            if fault := damage(path, _SEAL):
                raise ValueError(fault)
            state = json.loads((path / _STATE).read_text(encoding="utf-8"))
            return load_file(path / _TENSORS, device=str(device)), state
        except (OSError, ValueError, SafetensorError) as err:
            _log.warning("checkpoint %s is damaged (%s); using the one before it", path, err)
    return None


def has_any(folder: Path) -> bool:
    """Whether the run has come as far as its first checkpoint."""
    return bool(_newest_first(folder))


def remove_all(folder: Path) -> None:
    """Removes the checkpoints of a run that nobody will resume."""
    shutil.rmtree(folder / _FOLDER, ignore_errors=True)


def load_weights(folder: Path, device: torch.device) -> dict[str, Tensor]:
    """The module's own tensors in the newest checkpoint that can be read. It is empty if there is no checkpoint."""
    tensors, _ = load(folder, device) or ({}, {})
    return _weights(tensors)


def _weights(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(_MODEL): tensor for name, tensor in tensors.items() if name.startswith(_MODEL)}


def _newest_first(folder: Path) -> list[Path]:
    return sorted((p for p in (folder / _FOLDER).glob("*") if p.name.isdigit()), reverse=True)


def named_tensors(module: nn.Module, optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """All tensors that a run needs to go on: weights, buffers, and the optimiser's moments.

    Moments stand under the names of their parameters, since the optimiser's own numbers change with its groups.
    """
    tensors = {_MODEL + name: tensor for name, tensor in module.state_dict().items()}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state[parameter].items():
            tensors[f"{_OPTIMISER}{name}/{key}"] = value
    return tensors


def restore(module: nn.Module, optimiser: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """Puts back the tensors that `named_tensors` gave. A missing or unknown weight is an error."""
    module.load_state_dict(_weights(tensors))
    parameters = dict(module.named_parameters())
    for key, tensor in tensors.items():
        if key.startswith(_OPTIMISER):
            name, _, entry = key.removeprefix(_OPTIMISER).rpartition("/")
            optimiser.state[parameters[name]][entry] = tensor
