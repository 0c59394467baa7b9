"""The processes of a distributed run: which one this is, its own random numbers, and means over all of them.

Shapes: B batch, T frames.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np
from torch import Tensor, distributed

_alone = ContextVar("_alone", default=False)


@contextmanager
def alone() -> Iterator[None]:
    """A context in which this process works as if it were the only one."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def rank() -> int:
    """The number of this process among all processes of the run, from 0."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    """The number of processes of the run."""
    return distributed.get_world_size() if distributed.is_initialized() and not _alone.get() else 1


def generator(seed: int, number: int) -> np.random.Generator:
    """This process's random numbers for an update or a batch with this number.

    They are derived from the numbers alone, so that a checkpoint needs no state of a generator.
    """
    return np.random.default_rng([seed, rank(), number])


def mean_over_processes(x_BT: Tensor, where_BT: Tensor) -> Tensor:
    """The mean of `x_BT` over the frames where `where_BT` is True, or zero if there are no such frames.

    With several processes each divides by the frames of all. DDP, torch's distributed training, then averages the
    gradients, and the result is the mean over the frames of all processes. With a mean in each process, a frame would
    count for more in a process that has few of them.
    """
    count = where_BT.sum()
    if world_size() > 1:
        distributed.all_reduce(count)
    return (x_BT * where_BT).sum() * world_size() / count.clamp(min=1)
