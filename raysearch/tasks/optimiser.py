"""The optimiser of heads: Adam, with a peak learning rate for each module.

Rates rise over the first twelfth of the updates and then fall to zero in a straight line. The gradients of a module may
be clipped. Several processes share each batch out, and the weights are the same in all of them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, distributed, nn
from torch.nn.utils import clip_grad_norm_
from torch.optim import Adam
from torch.optim.lr_scheduler import LambdaLR

from raysearch.training.monitoring.progress import tell
from raysearch.training.process import world_size

WARMUP = 1 / 12
"""Share of the updates over which rates rise."""


def ramp(step: int, updates: int) -> float:
    """The share of the peak rate at an update, counted from 0. It is above zero at each of them."""
    warmup = max(1.0, WARMUP * updates)
    return min((step + 1) / warmup, (updates - step) / max(updates - warmup, 1), 1.0)


class Optimiser:
    """Adam over several modules, each with its own peak learning rate."""

    def __init__(self, rates: Sequence[tuple[nn.Module, float]], updates: int, clip: float | None = None) -> None:
        """`clip` is the largest norm of the gradient of each module. By default it may have any."""
        self._adam = Adam([{"params": list(module.parameters()), "lr": lr} for module, lr in rates], betas=(0.9, 0.98))
        self._schedule = LambdaLR(self._adam, lambda step: ramp(step, updates))
        self._done, self._updates, self._clip = 0, updates, clip

    def update(self, loss: Tensor | None) -> None:
        """One step of all modules down the gradient of the loss.

        `loss` is this process's share, and the shares of all processes are added up. None if nothing of the batch fell
        to this one. All processes must call this.
        """
        self._adam.zero_grad()
        if loss is not None:
            loss.backward()
        if world_size() > 1:
            parameters = [parameter for group in self._adam.param_groups for parameter in group["params"]]
            _add_up([parameter for parameter in parameters if parameter.requires_grad])
        if self._clip is not None:
            for group in self._adam.param_groups:
                clip_grad_norm_(group["params"], self._clip)
        self._adam.step()
        self._schedule.step()
        self._done += 1
        tell("head", self._done, self._updates)


def _add_up(parameters: Sequence[nn.Parameter]) -> None:
    """Gives every parameter the sum of its gradients over all processes."""
    own = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
    # As one tensor, because an exchange takes about as long for a bias as for all.
    total = torch.cat([gradient.flatten() for gradient in own])
    distributed.all_reduce(total)
    for parameter, part in zip(parameters, total.split([p.numel() for p in parameters]), strict=True):
        parameter.grad = part.view_as(parameter)
