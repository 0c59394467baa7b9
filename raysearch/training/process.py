"""The processes of a distributed run: which one this is, its own random numbers, and what all of them have together.

With one process every function here gives what it was given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
from torch import distributed, nn

from raysearch.encoder.conv_encoder import BatchNorm

T = TypeVar("T")

_alone = False


def rank() -> int:
    """The number of this process among all processes of the run, from 0."""
    return distributed.get_rank() if _together() else 0


def world_size() -> int:
    """The number of processes of the run."""
    return distributed.get_world_size() if _together() else 1


@contextmanager
def alone() -> Iterator[None]:
    """Inside, this process works for itself, as if it were the only one.

    What one process makes and the others wait for needs this: they cannot have a part in it.
    """
    global _alone
    before, _alone = _alone, True
    try:
        yield
    finally:
        _alone = before


def _together() -> bool:
    return distributed.is_initialized() and not _alone


def generator(seed: int, number: int) -> np.random.Generator:
    """This process's random numbers for an update or a batch with this number.

    They are derived from the numbers alone, so that a checkpoint needs no state of a generator.
    """
    return np.random.default_rng([seed, rank(), number])


def synchronise_norms(module: nn.Module) -> None:
    """Lets every BatchNorm of the module take its statistics over all processes from now on, while it trains."""
    for part in module.modules():
        if isinstance(part, BatchNorm):
            part.synchronised = world_size() > 1


def own_share(items: Sequence[T]) -> list[T]:
    """The items that fall to this process when they are dealt out in turn."""
    return list(items[rank() :: world_size()])


def gathered(own: Mapping[str, Any]) -> dict[str, Any]:
    """The entries of all processes in one dictionary. All processes must call this, and all get the same."""
    if world_size() == 1:
        return dict(own)
    found: list[Mapping[str, Any]] = [{}] * world_size()
    distributed.all_gather_object(found, dict(own))
    return {key: value for entries in found for key, value in entries.items()}


def as_first(value: T) -> T:
    """What the process of rank 0 gives here. All processes must call this."""
    if world_size() == 1:
        return value
    box = [value]
    distributed.broadcast_object_list(box)
    return box[0]
