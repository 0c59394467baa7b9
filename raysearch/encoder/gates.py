"""Gates on the units of an encoder: hard-concrete variables that learn which channels, heads and FFN units to keep.

A gate's value scales what its unit gives to the next layer, so it can be folded into that layer's weights. The gated
encoder does exactly that in every pass, and slicing does it once and for all: both see the same numbers. A LayerNorm
over gated channels takes its statistics from the open ones only, since the others will be gone.

Source: Louizos et al., ICLR 2018; placement as in Peng et al., HJ-Pruning, ICASSP 2023, and DPHuBERT, Interspeech 2023.
Shapes: B batch, S samples, T frames, C channels, U units of one layer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import Sizes, in_multiples, sizes_of
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.front_end import ChannelNorm
from raysearch.encoder.transformer import Emptied

Unit = Literal["channels", "heads", "ffn", "attention_layers", "ffn_layers"]

LOW, HIGH = -0.1, 1.1
"""The interval that a gate's sigmoid is stretched to before it is clipped to [0, 1]."""
INITIAL_STD = 0.01
_NOISE_EDGE = 1e-6
_SOFTNESS = 0.8
OUTPUT = {"attention": "out", "ffn": "down"}
"""The linear layer that reads a sub-layer's units."""


class GateValues(NamedTuple):
    """A value in [0, 1] for every unit; 0 is a closed gate. Ungated units have 1."""

    channels: list[Tensor]
    """(U) each, one entry a convolution."""
    heads: list[Tensor]
    """(U) each, one entry a block."""
    ffn: list[Tensor]
    attention_layers: Tensor
    """(blocks)"""
    ffn_layers: Tensor


class OpenUnits(NamedTuple):
    """How many units of each layer stay, and which sub-layers stay at all."""

    sizes: Sizes
    attention_layers: list[bool]
    ffn_layers: list[bool]


class GateSet(nn.Module):
    """One gate a unit, given by its parameter log alpha.

    Sampled, `z = clip(s (HIGH - LOW) + LOW)` with `s = sigmoid((logit(u) + log alpha) / temperature)`. Not sampled, the
    likeliest units of each layer are open, as many as the layer is expected to keep, with the value
    `sigmoid(0.8 log alpha / temperature)`, which is never 0 (the rule of FLOP, Wang et al., EMNLP 2020).
    """

    _nothing: Tensor

    def __init__(
        self,
        config: EncoderConfig,
        units: Sequence[Unit] = ("channels", "heads", "ffn"),
        drop: float = 0.01,
        ffn_drop: float = 0.5,
        temperature: float = 2 / 3,
    ) -> None:
        """`drop` and `ffn_drop` are rates r: a log alpha starts near log((1 - r) / r)."""
        super().__init__()
        self.temperature = temperature
        depth = [config.depth]
        self.full = sizes_of(config)
        self._full = self.full._asdict() | {"attention_layers": depth, "ffn_layers": depth}
        self.log_alphas = nn.ModuleDict()
        # Says where the module is, also when nothing has gates.
        self.register_buffer("_nothing", torch.empty(0), persistent=False)
        for unit in units:
            rate = ffn_drop if unit == "ffn" else drop
            starts = (torch.randn(count) * INITIAL_STD + math.log((1 - rate) / rate) for count in self._full[unit])
            self.log_alphas[unit] = nn.ParameterList(nn.Parameter(log_alpha_U) for log_alpha_U in starts)

    @property
    def count(self) -> int:
        return sum(log_alpha_U.numel() for log_alpha_U in self.parameters())

    def sample(self) -> GateValues:
        """New values from torch's generator; differentiable."""

        def value(log_alpha_U: Tensor) -> Tensor:
            noise_U = torch.rand_like(log_alpha_U).clamp(_NOISE_EDGE, 1 - _NOISE_EDGE)
            s_U = torch.sigmoid((torch.logit(noise_U) + log_alpha_U) / self.temperature)
            return (s_U * (HIGH - LOW) + LOW).clamp(0.0, 1.0)

        layers = {unit: [value(x_U) if gated else x_U for x_U, gated in self._each(unit)] for unit in self._full}
        return _gate_values(layers)

    def expected(self) -> Sizes:
        """How many units of each layer are open on average: scalar tensors, differentiable.

        Gates are independent: a unit's expectation and its sub-layer's multiply.
        """
        (attention_U,), (ffn_U,) = self._open_probabilities("attention_layers"), self._open_probabilities("ffn_layers")
        channels, heads, ffn = ([p_U.sum() for p_U in self._open_probabilities(unit)] for unit in Sizes._fields)
        return Sizes(
            channels,
            [count * p for count, p in zip(heads, attention_U, strict=True)],
            [count * p for count, p in zip(ffn, ffn_U, strict=True)],
        )

    @torch.no_grad()
    def open_units(self, shift: float = 0.0, multiple: int = 1) -> OpenUnits:
        """The expected counts, rounded, once `shift` is added to every log alpha. A convolution keeps a channel.

        Channels and FFN units are rounded to multiples of `multiple`, or to all that a layer has.
        """
        channels, heads, ffn, attention_layers, ffn_layers = (
            [p_U.sum().item() for p_U in self._open_probabilities(unit, shift)] for unit in self._full
        )
        attention, feed_forward = (
            _likeliest(x_U, round(count)).tolist()
            for unit, (count,) in (("attention_layers", attention_layers), ("ffn_layers", ffn_layers))
            for x_U, _ in self._each(unit)
        )
        sizes = Sizes(
            list(map(partial(in_multiples, multiple=multiple, least=1), channels, self.full.channels)),
            [round(count) * stays for count, stays in zip(heads, attention, strict=True)],
            [
                in_multiples(count, full, multiple) * stays
                for count, full, stays in zip(ffn, self.full.ffn, feed_forward, strict=True)
            ],
        )
        return OpenUnits(sizes, attention, feed_forward)

    @torch.no_grad()
    def values(self, open_units: OpenUnits | None = None) -> GateValues:
        """The values of gates that are no longer random, with `open_units` open in each layer."""
        sizes, attention, ffn = open_units or self.open_units()
        counts = sizes._asdict() | {"attention_layers": [sum(attention)], "ffn_layers": [sum(ffn)]}

        def value(log_alpha_U: Tensor, count: int) -> Tensor:
            return torch.sigmoid(_SOFTNESS * log_alpha_U / self.temperature) * _likeliest(log_alpha_U, count)

        layers = {
            unit: [
                value(x_U, count) if gated else x_U
                for (x_U, gated), count in zip(self._each(unit), counts[unit], strict=True)
            ]
            for unit in self._full
        }
        return _gate_values(layers)

    def _open_probabilities(self, unit: str, shift: float = 0.0) -> list[Tensor]:
        """The probability of each gate to be open."""
        edge = self.temperature * math.log(-LOW / HIGH)
        return [torch.sigmoid(x_U + shift - edge) if gated else x_U for x_U, gated in self._each(unit)]

    def _each(self, unit: str) -> list[tuple[Tensor, bool]]:
        """Log alpha of each layer and True; ones and False where these units have no gates."""
        if unit in self.log_alphas:
            return [(log_alpha_U, True) for log_alpha_U in self.log_alphas[unit].parameters()]
        return [(self._nothing.new_ones(count), False) for count in self._full[unit]]


def _likeliest(log_alpha_U: Tensor, count: int) -> Tensor:
    open_U = torch.zeros_like(log_alpha_U, dtype=torch.bool)
    open_U[log_alpha_U.argsort(descending=True, stable=True)[:count]] = True
    return open_U


def _gate_values(layers: dict[str, list[Tensor]]) -> GateValues:
    (attention_U,), (ffn_U,) = layers["attention_layers"], layers["ffn_layers"]
    return GateValues(layers["channels"], layers["heads"], layers["ffn"], attention_U, ffn_U)


class GatedEncoder(nn.Module):
    """An encoder behind gates: sampled anew in each training pass, fixed in eval mode. Never cached."""

    def __init__(self, encoder: Encoder, gates: GateSet) -> None:
        """Takes the encoder over: its norms over gated channels are replaced, weights and names stay."""
        super().__init__()
        self.encoder = encoder
        self.gates = gates
        encoder.feature_norm = OpenNorm.of(encoder.feature_norm)
        norms = getattr(encoder.front_end, "norms", [])
        for layer, norm in enumerate(norms):
            if isinstance(norm, ChannelNorm):
                norms[layer] = OpenChannelNorm.of(norm)

    @property
    def config(self) -> EncoderConfig:
        return self.encoder.config

    def forward(self, audio_BS: Tensor, samples_B: Tensor, open_units: OpenUnits | None = None) -> Encoded:
        """As of an encoder; `open_units` fixes the gates' counts in eval mode."""
        values = self.gates.sample() if self.training else self.gates.values(open_units)
        weights = fold(self.encoder, values)
        for name, norm in self.encoder.named_modules():
            if isinstance(norm, OpenNorm):
                layer = -1 if name == "feature_norm" else int(name.split(".")[-1])
                weights[f"{name}.open_C"] = (values.channels[layer] > 0).to(norm.weight.dtype)
        encoded: Encoded = functional_call(self.encoder, weights, (audio_BS, samples_B))
        return encoded


def fold(encoder: Encoder, values: GateValues) -> dict[str, Tensor]:
    """The weights that read gated units, scaled by the units' gates; a sub-layer's gate scales its bias too."""
    names = [f"front_end.convs.{layer}.weight" for layer in range(1, len(values.channels))]
    folded = {
        name: encoder.get_parameter(name) * z_C[:, None] for name, z_C in zip(names, values.channels[:-1], strict=True)
    }
    folded["projection.weight"] = encoder.projection.weight * values.channels[-1]
    for index, block in enumerate(encoder.blocks):
        head_width = encoder.config.block_list[index].head_width
        inputs = {
            "attention": (values.heads[index].repeat_interleave(head_width), values.attention_layers[index]),
            "ffn": (values.ffn[index], values.ffn_layers[index]),
        }
        for name, (z_U, z) in inputs.items():
            layer = getattr(block, name)
            path = f"blocks.{index}.{name}"
            if isinstance(layer, Emptied):
                folded[f"{path}.bias"] = layer.bias * z
                continue
            output = getattr(layer, OUTPUT[name])
            folded[f"{path}.{OUTPUT[name]}.weight"] = output.weight * (z_U * z)
            folded[f"{path}.{OUTPUT[name]}.bias"] = output.bias * z
    return folded


class OpenNorm(nn.LayerNorm):
    """LayerNorm whose statistics are those of the kept channels; the others give zero."""

    open_C: Tensor

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> OpenNorm:
        replaced = cls(list(norm.normalized_shape), eps=norm.eps)
        replaced.weight, replaced.bias = norm.weight, norm.bias
        replaced.register_buffer("open_C", torch.ones_like(norm.weight, requires_grad=False), persistent=False)
        return replaced

    def forward(self, x_BTC: Tensor) -> Tensor:
        with torch.autocast(x_BTC.device.type, enabled=False):
            x_BTC = x_BTC.float()
            count = self.open_C.sum().clamp(min=1.0)
            centred_BTC = (x_BTC - (x_BTC * self.open_C).sum(-1, keepdim=True) / count) * self.open_C
            variance_BT1 = centred_BTC.square().sum(-1, keepdim=True) / count
            normed_BTC = centred_BTC * torch.rsqrt(variance_BT1 + self.eps)
            return (normed_BTC * self.weight + self.bias) * self.open_C


class OpenChannelNorm(OpenNorm):
    """The same over the channels of each frame."""

    def forward(self, x_BCT: Tensor) -> Tensor:
        return super().forward(x_BCT.transpose(1, 2)).transpose(1, 2)
