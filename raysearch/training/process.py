"""Which of the processes of a distributed run this is, its own stream of randomness, and means over all of them.

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
    """As if this process were the only one."""
    token = _alone.set(True)
    try:
        yield
    finally:
        _alone.reset(token)


def rank() -> int:
    return distributed.get_rank() if distributed.is_initialized() else 0


def world_size() -> int:
    return distributed.get_world_size() if distributed.is_initialized() and not _alone.get() else 1


def generator(seed: int, number: int) -> np.random.Generator:
    """This process's randomness of an update or a batch. Derived, not carried on: a checkpoint needs no state of it."""
    return np.random.default_rng([seed, rank(), number])


def mean_over_processes(x_BT: Tensor, where_BT: Tensor) -> Tensor:
    """Mean of `x_BT` where `where_BT`, over the frames of all processes once DDP has averaged their gradients.

    Without this, a frame would count for more in a process that has few of them. No frames at all give zero.
    """
    count = where_BT.sum()
    if world_size() > 1:
        distributed.all_reduce(count)
    return (x_BT * where_BT).sum() * world_size() / count.clamp(min=1)
