"""BatchNorm whose batch is that of all processes together, on a CPU too: torch's SyncBatchNorm is for GPUs alone.

Shapes: B batch of this process, C channels, T frames.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


class BatchNorm(nn.BatchNorm1d):
    """(B, C) or (B, C, T). With one process it is torch's; with several, each must have as many rows and frames."""

    def forward(self, x_BCT: Tensor) -> Tensor:
        if not (self.training and distributed.is_initialized() and distributed.get_world_size() > 1):
            return super().forward(x_BCT)
        with torch.autocast(x_BCT.device.type, enabled=False):
            return self._over_processes(x_BCT.float())

    def _over_processes(self, x_BCT: Tensor) -> Tensor:
        axes = [0, *range(2, x_BCT.ndim)]
        count = x_BCT.numel() // x_BCT.shape[1] * distributed.get_world_size()
        mean_C = _Sum.apply(x_BCT.sum(axes)) / count
        centred_BCT = x_BCT - _beside(mean_C, x_BCT)
        variance_C = _Sum.apply(centred_BCT.square().sum(axes)) / count
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        momentum = 0.1 if self.momentum is None else self.momentum
        with torch.no_grad():
            self.running_mean.lerp_(mean_C, momentum)
            self.running_var.lerp_(variance_C * (count / (count - 1)), momentum)
            self.num_batches_tracked.add_(1)
        normed_BCT = centred_BCT * _beside(torch.rsqrt(variance_C + self.eps), x_BCT)
        return normed_BCT * _beside(self.weight, x_BCT) + _beside(self.bias, x_BCT)


def _beside(x_C: Tensor, like_BCT: Tensor) -> Tensor:
    return x_C.view(1, -1, *[1] * (like_BCT.ndim - 2))


class _Sum(torch.autograd.Function):
    """Over all processes; each process's loss depends on every process's part, and so does its gradient."""

    @staticmethod
    def forward(ctx: Any, x_C: Tensor) -> Tensor:
        total_C = x_C.clone()
        distributed.all_reduce(total_C)
        return total_C

    @staticmethod
    def backward(ctx: Any, grad_C: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad_C)
