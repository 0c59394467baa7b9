"""The optimiser of heads: Adam, with a peak learning rate for each module.

Rates rise over the first twelfth of the updates and then fall to zero in a straight line.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from raysearch.training.progress import tell

WARMUP = 1 / 12
"""Share of the updates over which rates rise."""


def ramp(step: int, updates: int) -> float:
    """The share of the peak rate at an update, counted from 0. It is above zero at each of them."""
    warmup = max(1.0, WARMUP * updates)
    return min((step + 1) / warmup, (updates - step) / max(updates - warmup, 1), 1.0)


class Optimiser:
    """Adam over several modules, each with its own peak learning rate."""

    def __init__(self, rates: Sequence[tuple[nn.Module, float]], updates: int) -> None:
        self._adam = Adam([{"params": list(module.parameters()), "lr": lr} for module, lr in rates], betas=(0.9, 0.98))
        self._schedule = LambdaLR(self._adam, lambda step: ramp(step, updates))
        self._done, self._updates = 0, updates

    def update(self, loss: Tensor) -> None:
        """One step of all modules down the gradient of this loss."""
        self._adam.zero_grad()
        loss.backward()
        self._adam.step()
        self._schedule.step()
        self._done += 1
        tell("head", self._done, self._updates)
