"""The largest batch that fits on a GPU, found before a trial's first update and not by crashing trials.

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
from torch import Tensor, distributed, nn

from raysearch.corpora.batches import Batch, TrainingBatches
from raysearch.files.whole import write_whole
from raysearch.training.precision import autocast
from raysearch.training.process import alone, rank, world_size
from raysearch.training.settings import TrainingSettings

FILE = "batch.json"

_log = logging.getLogger(__name__)


def fitting(
    folder: Path,
    asked: TrainingSettings,
    build: Callable[[float], TrainingBatches],
    module: nn.Module,
    prepare: Callable[[int, Batch], Mapping[str, Any]],
    device: torch.device,
    precision: str,
) -> tuple[TrainingBatches, TrainingSettings]:
    """`build(batch_s)` for the seconds asked or the first of their halves of which the heaviest batch can be trained
    on, the same for all processes; and the settings with that size, and with so many more batches in an update that it
    hears as much as was asked.

    The size is kept in `folder`: a trial that resumes goes on with the same batches. One that is asked for another size
    has run out of memory all the same: it gets at most half of what it had.

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
    """As much audio in an update, in batches of `batch_s`."""
    accumulate = asked.accumulate * round(asked.batch_s / batch_s)
    return asked.model_copy(update={"batch_s": batch_s, "accumulate": accumulate})


def _copies(settings: TrainingSettings) -> int:
    """How often the parameters' size is held through a pass: AdamW's moments, DDP's buckets, and the gradients of the
    batches before."""
    return 2 + (world_size() > 1) + (settings.accumulate > 1)


def _first(folder: Path, asked_s: float, device: torch.device) -> tuple[float, bool]:
    """The size to begin with, and whether it is known to fit."""
    file = folder / FILE
    kept = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    again = kept.get("asked_s") == asked_s
    most_s = math.inf if not kept else kept["batch_s"] if again else kept["batch_s"] / 2
    # Another node may have no copy of the folder.
    most_s, known = _least(most_s, device), _least(-float(again), device) < 0
    return min(asked_s, most_s), known


def _fits(
    batch: Batch,
    copies: int,
    module: nn.Module,
    prepare: Callable[[int, Batch], Mapping[str, Any]],
    device: torch.device,
    precision: str,
) -> bool:
    """Whether there is memory for a batch: what its passes hold, its gradients, and the other `copies`."""
    before = [buffer.clone() for buffer in module.buffers()]
    try:
        kept = [torch.empty_like(parameter) for parameter in module.parameters() for _ in range(copies)]
        inputs = {k: v.to(device) if isinstance(v, Tensor) else v for k, v in prepare(0, batch).items()}
        # A process that runs out of memory would leave the others waiting for it.
        with alone(), autocast(device, precision):
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
    """Over all processes."""
    if world_size() == 1:
        return value
    least = torch.tensor(value, device=device)
    distributed.all_reduce(least, distributed.ReduceOp.MIN)
    return float(least)
