"""The position convolution and the transformer blocks.

Sizes may differ from block to block, so that slicing an encoder changes numbers and never code.

Shapes: B batch, T frames, D width, N heads, H head width, K keys.
"""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder import config
from raysearch.encoder.relative_positions import PositionGate

AttentionKind = Literal["fused", "explicit"]
"""How attention is computed. `fused` is what models use. `explicit` computes the same by plain matrix products, so that
tests can count and compare them."""

INITIAL_STD = 0.02


class PositionConv(nn.Module):
    """A grouped convolution over time that tells frames where they stand. Each tap of its kernel is normalised.

    Source: Baevski et al., wav2vec 2.0, 2020, section 2.
    """

    def __init__(self, width: int, settings: config.PositionConv) -> None:
        super().__init__()
        kernel = settings.kernel
        conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=settings.groups)
        nn.init.normal_(conv.weight, std=math.sqrt(4.0 / (kernel * width)))
        conv.bias = nn.Parameter(torch.zeros(width))
        self.conv = nn.utils.parametrizations.weight_norm(conv, dim=2)

    def forward(self, x_BTD: Tensor) -> Tensor:
        # An even kernel makes one frame too many, since the input is padded by half a kernel on both sides.
        x_BDT = self.conv(x_BTD.transpose(1, 2))[..., : x_BTD.shape[1]]
        return F.gelu(x_BDT).transpose(1, 2)


def sinusoids(frames: int, width: int) -> Tensor:
    """Sinusoidal positions (T, D): sines in the first half of the width, cosines in the second.

    Wavelengths grow in equal ratios from 2 pi frames to 20,000 pi frames.
    Source: Radford et al., Whisper, 2022 (its published code).
    """
    wavelengths = torch.logspace(0, 4, width // 2, dtype=torch.float64, device="cpu")
    angles_TX = torch.arange(frames, dtype=torch.float64, device="cpu")[:, None] / wavelengths
    return torch.cat([angles_TX.sin(), angles_TX.cos()], dim=1).float()


class Attention(nn.Module):
    """Multi-head self-attention. The heads together need not be as wide as the encoder.

    A block that reuses a map has values alone, and weighs them by the map of the block before it.
    Source: Jang et al., ARMHuBERT, Interspeech 2023, section 2.1.
    """

    def __init__(self, settings: config.EncoderConfig, block: config.Block, kind: AttentionKind) -> None:
        super().__init__()
        self.heads, self.kind = block.heads, kind
        width, inner = settings.width, block.heads * block.head_width
        if not block.reuses_map:
            self.q = _linear(width, inner)
            self.k = _linear(width, inner, bias=settings.key_bias)
        self.v = _linear(width, inner)
        self.out = _linear(inner, width)
        if settings.relative_positions and not block.reuses_map:
            self.gate = PositionGate(width, block.heads, settings.relative_positions)

    def forward(
        self,
        x_BTD: Tensor,
        mask_B11K: Tensor | None,
        positions_NTK: Tensor | None,
        map_BNTK: Tensor | None = None,
    ) -> Tensor:
        """What the block adds (B, T, D). With `map_BNTK` values are weighed by it. Else the block makes its own map."""
        v_BNTH = self._split(self.v(x_BTD))
        if map_BNTK is None and self.kind == "fused":
            q_BNTH, k_BNTH, bias_BNTK = self._asked(x_BTD, positions_NTK)
            if mask_B11K is not None:
                # The mask as numbers. As truths it would be exported with a search of every map for rows without keys.
                least = torch.finfo(q_BNTH.dtype).min
                past_B11K = torch.zeros_like(mask_B11K, dtype=q_BNTH.dtype).masked_fill(~mask_B11K, least)
                bias_BNTK = past_B11K if bias_BNTK is None else bias_BNTK + past_B11K
            y_BNTH = F.scaled_dot_product_attention(q_BNTH, k_BNTH, v_BNTH, attn_mask=bias_BNTK)
        else:
            if map_BNTK is None:
                map_BNTK = self.map(x_BTD, mask_B11K, positions_NTK)
            y_BNTH = map_BNTK @ v_BNTH
        return self.out(y_BNTH.transpose(1, 2).flatten(2))

    def map(self, x_BTD: Tensor, mask_B11K: Tensor | None, positions_NTK: Tensor | None) -> Tensor:
        """The attention map (B, N, T, K): how much each frame takes of each other, which sums to 1."""
        q_BNTH, k_BNTH, bias_BNTK = self._asked(x_BTD, positions_NTK)
        scores_BNTK = q_BNTH @ k_BNTH.transpose(2, 3) / math.sqrt(q_BNTH.shape[3])
        if bias_BNTK is not None:
            scores_BNTK = scores_BNTK + bias_BNTK
        if mask_B11K is not None:
            scores_BNTK = scores_BNTK.masked_fill(~mask_B11K, -math.inf)
        return scores_BNTK.softmax(-1)

    def _asked(self, x_BTD: Tensor, positions_NTK: Tensor | None) -> tuple[Tensor, Tensor, Tensor | None]:
        """Queries, keys, and the bias of relative positions."""
        q_BNTH, k_BNTH = (self._split(linear(x_BTD)) for linear in (self.q, self.k))
        return q_BNTH, k_BNTH, None if positions_NTK is None else self.gate(x_BTD, positions_NTK).to(q_BNTH.dtype)

    def _split(self, x_BTX: Tensor) -> Tensor:
        return x_BTX.unflatten(2, (self.heads, -1)).transpose(1, 2)


class TimeReduction(nn.Module):
    """A convolution that makes one frame of several, which do not overlap.

    Source: Lee et al., FitHuBERT, Interspeech 2022, section 3.2.
    """

    def __init__(self, width: int, settings: config.TimeReduction) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, settings.factor, stride=settings.factor)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """The frames that the blocks see. Frames at the end that are too few for one are left out."""
        # In the order in which the blocks read it.
        return self.conv(x_BTD.transpose(1, 2)).transpose(1, 2).contiguous()


class FeedForward(nn.Module):
    """Two linear layers with GELU between them."""

    def __init__(self, width: int, ffn: int) -> None:
        super().__init__()
        self.up = _linear(width, ffn)
        self.down = _linear(ffn, width)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.down(F.gelu(self.up(x_BTD)))


class Emptied(nn.Module):
    """A sub-layer that lost all its units. Its output bias is left."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x_BTD: Tensor, *others: Tensor | None) -> Tensor:
        return self.bias.expand_as(x_BTD)


class Adapter(nn.Module):
    """The part that a block learns beside its feed-forward sub-layer.

    It starts by adding zero, so that at first the routes with and without adapters give the same.
    Source: OS-KDFT, Heo et al., Interspeech 2023 (arXiv 2305.17394), section 3. It is initialised as LoRA is.
    """

    def __init__(self, width: int, settings: config.Adapter) -> None:
        super().__init__()
        self.scale = settings.scale
        self.norm = nn.LayerNorm(width)
        self.down = nn.Linear(width, settings.width)
        nn.init.kaiming_uniform_(self.down.weight, a=math.sqrt(5))
        nn.init.zeros_(self.down.bias)
        self.up = nn.Linear(settings.width, width)
        nn.init.zeros_(self.up.weight)
        nn.init.zeros_(self.up.bias)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.scale * self.up(F.relu(self.down(self.norm(x_BTD))))


class TransformerBlock(nn.Module):
    """Attention, then feed-forward, each added to its input. LayerNorms stand before (pre) or after (post) each.

    An adapter reads what the feed-forward sub-layer reads, before any norm, and its output is added to that of the
    sub-layer. With `norm: pre`, a sub-layer that lost all its units has no norm, which would have nothing to do.
    """

    def __init__(
        self,
        settings: config.EncoderConfig,
        block: config.Block,
        dropout: float,
        kind: AttentionKind,
        shares: bool = False,
    ) -> None:
        """`shares` says that the next block reuses this one's attention map."""
        super().__init__()
        width = settings.width
        self.pre = settings.norm == "pre"
        self.reuses, self.shares = block.reuses_map, shares
        self.attention = Attention(settings, block, kind) if block.heads else Emptied(width)
        self.attention_norm = nn.LayerNorm(width) if block.heads or not self.pre else nn.Identity()
        self.ffn = FeedForward(width, block.ffn) if block.ffn else Emptied(width)
        self.ffn_norm = nn.LayerNorm(width) if block.ffn or not self.pre else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        if block.adapter:
            self.adapter = Adapter(width, block.adapter)

    def forward(
        self,
        x_BTD: Tensor,
        mask_B11K: Tensor | None,
        positions_NTK: Tensor | None,
        plain: int = 0,
        map_BNTK: Tensor | None = None,
    ) -> tuple[Tensor, Tensor | None]:
        """The hidden state after this block (B, T, D), and its attention map (B, N, T, K) if the next block reuses it.

        `mask_B11K` is True where a key may be attended to, or None where all may be. `positions_NTK` is the bias of
        `RelativePositions`, or None in an encoder without them. The first `plain` rows take the route past the adapter.
        `map_BNTK` is the attention map of the block before.
        """
        read_BTD = self.attention_norm(x_BTD) if self.pre else x_BTD
        if not self.reuses:
            # Fused attention keeps no map, so one that is reused is made in the open.
            map_BNTK = None
            if self.shares and isinstance(self.attention, Attention):
                map_BNTK = self.attention.map(read_BTD, mask_B11K, positions_NTK)
        added_BTD = self.attention(read_BTD, mask_B11K, positions_NTK, map_BNTK)
        x_BTD = x_BTD + self.dropout(added_BTD)
        if self.pre:
            return self._adapted(x_BTD, x_BTD + self.dropout(self.ffn(self.ffn_norm(x_BTD))), plain), map_BNTK
        x_BTD = self.attention_norm(x_BTD)
        return self.ffn_norm(self._adapted(x_BTD, x_BTD + self.dropout(self.ffn(x_BTD)), plain)), map_BNTK

    def _adapted(self, x_BTD: Tensor, y_BTD: Tensor, plain: int) -> Tensor:
        if not hasattr(self, "adapter"):
            return y_BTD
        if not plain:
            return y_BTD + self.adapter(x_BTD)
        # Both routes went through the blocks as one batch; only the later rows pass the adapter.
        return torch.cat([y_BTD[:plain], y_BTD[plain:] + self.adapter(x_BTD[plain:])])


def _linear(inputs: int, outputs: int, bias: bool = True) -> nn.Linear:
    linear = nn.Linear(inputs, outputs, bias)
    nn.init.normal_(linear.weight, std=INITIAL_STD)
    if bias:
        nn.init.zeros_(linear.bias)
    return linear
