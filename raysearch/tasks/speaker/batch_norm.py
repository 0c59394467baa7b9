"""BatchNorm whose statistics are those of all processes together, on CPUs too.

torch's SyncBatchNorm does the same, but on GPUs alone.

Shapes: B batch of this process, C channels, T frames.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, distributed, nn


class BatchNorm(nn.BatchNorm1d):
    """BatchNorm of tensors (B, C) or (B, C, T). With one process it is torch's own.

    With several processes, all must have the same number of rows and frames.
    """

    def forward(self, x_BCT: Tensor) -> Tensor:
        if not (self.training and distributed.is_initialized() and distributed.get_world_size() > 1):
            return super().forward(x_BCT)
        # Sums over many frames would lose digits in half precision.
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
            # The running variance is the unbiased one, as in torch's BatchNorm.
            self.running_var.lerp_(variance_C * (count / (count - 1)), momentum)
            self.num_batches_tracked.add_(1)
        normed_BCT = centred_BCT * _beside(torch.rsqrt(variance_C + self.eps), x_BCT)
        return normed_BCT * _beside(self.weight, x_BCT) + _beside(self.bias, x_BCT)


def _beside(x_C: Tensor, like_BCT: Tensor) -> Tensor:
    return x_C.view(1, -1, *[1] * (like_BCT.ndim - 2))


class _Sum(torch.autograd.Function):
    """The sum over all processes. Every process's loss depends on it, so gradients are summed on the way back, too."""

    @staticmethod
    def forward(ctx: Any, x_C: Tensor) -> Tensor:
        total_C = x_C.clone()
        distributed.all_reduce(total_C)
        return total_C

    @staticmethod
    def backward(ctx: Any, grad_C: Tensor) -> Tensor:
        return _Sum.forward(ctx, grad_C)
