"""Finds the largest batch that fits on a GPU, before a trial's first update, so that no trial crashes to find it.

Shapes: B batch.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, distributed

from raysearch.corpora.batches import Batch, TrainingBatches
from raysearch.files.whole import write_whole
from raysearch.training.loss_module import LossModule
from raysearch.training.precision import autocast
from raysearch.training.process import rank, world_size
from raysearch.training.settings import TrainingSettings

FILE = "batch.json"
"""Name of the file in a run's folder that keeps the size of its batches."""

_log = logging.getLogger(__name__)


def fitting(
    folder: Path,
    asked: TrainingSettings,
    build: Callable[[float], TrainingBatches],
    module: LossModule,
    prepare: Callable[[int, Batch], Mapping[str, Any]],
    device: torch.device,
    precision: str,
) -> tuple[TrainingBatches, TrainingSettings]:
    """The batches to train on, and the settings with their size. The size is the same for all processes.

    The size in seconds that was asked for is halved until the heaviest batch fits into memory. `build(batch_s)` makes
    batches of a size. An update then takes so many more batches that it hears as much audio as was asked for.

    The size is kept in `folder`, so that a trial that resumes goes on with the same batches. If that trial is now asked
    for another size, it has run out of memory after all. It then gets at most half of what it had.

    Raises: torch.OutOfMemoryError if a single cut does not fit.
    """
    batch_s, known = _first(folder, asked.batch_s, device)
    found = _smaller(asked, batch_s)
    batches = build(found.batch_s)
    while not known:
        heaviest = batches.heaviest()
        copies = _copies(found)
        if heaviest is None or _everywhere(_fits(heaviest, copies, module, prepare, device, precision), device):
            break
        # A smaller batch would be this same cut again.
        if len(heaviest.cuts) == 1:
            raise torch.OutOfMemoryError(f"a cut of {int(heaviest.samples_B)} samples does not fit")
        found = _smaller(asked, found.batch_s / 2)
        _log.warning(
            "%s: training.batch_s: %g s do not fit; trying %g s, %d batches an update",
            folder,
            2 * found.batch_s,
            found.batch_s,
            found.accumulate,
        )
        batches = build(found.batch_s)
    if rank() == 0:
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"asked_s": asked.batch_s, "batch_s": found.batch_s, "accumulate": found.accumulate}
        write_whole(folder / FILE, json.dumps(kept))
    return batches, found


def _smaller(asked: TrainingSettings, batch_s: float) -> TrainingSettings:
    """The settings for batches of `batch_s` seconds, with as much audio in an update as was asked for."""
    accumulate = asked.accumulate * round(asked.batch_s / batch_s)
    return asked.model_copy(update={"batch_s": batch_s, "accumulate": accumulate})


def _copies(settings: TrainingSettings) -> int:
    """How many copies of the parameters memory holds during a pass, besides the parameters themselves.

    AdamW keeps two moments. DDP, torch's distributed training, keeps a copy of all gradients. With several batches in
    an update there are also the gradients of the batches before.
    """
    return 2 + (world_size() > 1) + (settings.accumulate > 1)


def _first(folder: Path, asked_s: float, device: torch.device) -> tuple[float, bool]:
    """The size in seconds to begin with, and whether it is known to fit."""
    file = folder / FILE
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    again = kept.get("asked_s") == asked_s
    most_s = math.inf if not kept else kept["batch_s"] if again else kept["batch_s"] / 2
    # A process on another node may have no copy of the folder, so all processes take the smallest size,
    # which is known to fit if one of them knows it.
    most_s, known = _least(most_s, device), _least(-float(again), device) < 0
    return min(asked_s, most_s), known


def _fits(
    batch: Batch,
    copies: int,
    module: LossModule,
    prepare: Callable[[int, Batch], Mapping[str, Any]],
    device: torch.device,
    precision: str,
) -> bool:
    """Whether memory holds a forward and a backward pass over the batch, its gradients, and `copies` more of them."""
    # A forward pass may change buffers, such as the statistics of a batch norm. They are put back.
    before = [buffer.clone() for buffer in module.buffers()]
    try:
        # These tensors only take up memory, as moments and buckets will.
        kept = [torch.empty_like(parameter) for parameter in module.parameters() for _ in range(copies)]
        inputs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in prepare(0, batch).items()}
        # Nothing is exchanged with other processes: one that runs out of memory would leave the others waiting.
        with autocast(device, precision):
            loss, _ = module(**inputs)
        loss.backward()
        del kept
    except torch.OutOfMemoryError:
        return False
    finally:
        module.zero_grad()
        for buffer, old in zip(module.buffers(), before, strict=True):
            buffer.copy_(old)
    return True


def _everywhere(holds: bool, device: torch.device) -> bool:
    return _least(float(holds), device) == 1.0


def _least(value: float, device: torch.device) -> float:
    """The smallest value over all processes."""
    if world_size() == 1:
        return value
    least = torch.tensor(value, device=device)
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return float(least)
