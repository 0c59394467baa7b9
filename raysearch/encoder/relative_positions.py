"""WavLM's relative positions: a gated bias that attention adds to its scores by the distance between two frames.

One table for the whole encoder says how much each head favours each distance. Each block scales it frame by frame with
gates that depend on what the frame holds.
Source: Chen et al., WavLM, 2022, section III-B, after Chi et al., XLM-E, 2022.
Shapes: B batch, T frames, D width, N heads, H head width, K keys, R distances.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from raysearch.encoder import config
from raysearch.encoder.cost import GATE_OUTPUTS


class RelativePositions(nn.Module):
    """The table that says how much each head favours each distance, before the blocks' gates."""

    def __init__(self, settings: config.RelativePositions) -> None:
        super().__init__()
        self.settings = settings
        self.table = nn.Embedding(settings.buckets, settings.heads)

    def forward(self, frames: int) -> Tensor:
        """The bias (N, T, K) for so many frames, and for all heads that the encoder had before it was sliced."""
        positions_T = torch.arange(frames, device=self.table.weight.device)
        distances_TK = positions_T[None, :] - positions_T[:, None]
        bias_NTK: Tensor = self.table(self._buckets(distances_TK)).permute(2, 0, 1)
        return bias_NTK

    def _buckets(self, distances_TK: Tensor) -> Tensor:
        """The bucket of each distance. Each direction has half of the buckets.

        Half of those hold one distance each. The others grow wider with the distance.
        """
        half = self.settings.buckets // 2
        exact = half // 2
        far_TK = distances_TK.abs()
        widening = math.log(self.settings.distance / exact)
        wide_TK = exact + (torch.log(far_TK.clamp(min=1).float() / exact) / widening * (half - exact)).long()
        bucket_TK = torch.where(far_TK < exact, far_TK, wide_TK.clamp(max=half - 1))
        return bucket_TK + (distances_TK > 0) * half


class PositionGate(nn.Module):
    """The gates of one block. `of_N` tells which head each head was before the encoder was sliced."""

    of_N: Tensor

    def __init__(self, width: int, heads: int, settings: config.RelativePositions) -> None:
        super().__init__()
        self.all_heads = settings.heads
        self.linear = nn.Linear(width // settings.heads, GATE_OUTPUTS)
        self.scale_1N11 = nn.Parameter(torch.ones(1, heads, 1, 1))
        self.register_buffer("of_N", torch.arange(heads))

    def forward(self, x_BTD: Tensor, bias_NTK: Tensor) -> Tensor:
        """The gated bias (B, N, T, K) that attention adds to its scores."""
        x_BNTH = x_BTD.unflatten(2, (self.all_heads, -1)).transpose(1, 2)[:, self.of_N]
        gates_BNT2 = self.linear(x_BNTH).unflatten(3, (2, -1)).sum(-1).sigmoid()
        update_BNT1, reset_BNT1 = gates_BNT2.chunk(2, dim=-1)
        factor_BNT1 = update_BNT1 * (reset_BNT1 * self.scale_1N11 - 1.0) + 2.0
        return factor_BNT1 * bias_NTK[self.of_N]
