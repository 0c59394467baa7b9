"""Gates on the units of an encoder: hard-concrete random variables that learn which units to keep.

A unit is a channel of a convolution, an attention head or a hidden unit of a feed-forward network (FFN). A gate's value
scales what its unit gives to the next layer, so it can be folded into that layer's weights. The gated encoder folds the
gates in every pass, and slicing folds them once and for all, so both see the same numbers. A LayerNorm over gated
channels takes its statistics from the open channels only, since slicing removes the others.

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
from raysearch.errors import InputError

Unit = Literal["channels", "heads", "ffn", "attention_layers", "ffn_layers"]

LOW, HIGH = -0.1, 1.1
"""The interval that a gate's sigmoid is stretched to before it is clipped to [0, 1]."""
INITIAL_STD = 0.01
"""Standard deviation of the log alphas around their start."""
UNDECIDED = 0.1
"""The least probability of both states at which a gate is undecided."""
# Noise of exactly 0 or 1 would have an infinite logit.
_NOISE_EDGE = 1e-6
# The factor on log alpha in FLOP's rule for gates that are no longer random.
_SOFTNESS = 0.8
OUTPUT = {"attention": "out", "ffn": "down"}
"""The linear layer that reads a sub-layer's units."""


class GateValues(NamedTuple):
    """The gates' values in [0, 1], one for every unit. A closed gate is 0, and a unit without a gate has 1."""

    channels: list[Tensor]
    """Gates of the channels: one tensor (U) for each convolution."""
    heads: list[Tensor]
    """Gates of the attention heads: one tensor (U) for each block."""
    ffn: list[Tensor]
    """Gates of the feed-forward units: one tensor (U) for each block."""
    attention_layers: Tensor
    """Gates of whole attention sub-layers, one for each block."""
    ffn_layers: Tensor
    """Gates of whole feed-forward sub-layers, one for each block."""


class OpenUnits(NamedTuple):
    """How many units of each layer are open, and which sub-layers are open at all."""

    sizes: Sizes
    """Open units of each layer. A closed sub-layer has none."""
    attention_layers: list[bool]
    """True for each block whose attention sub-layer is open."""
    ffn_layers: list[bool]
    """True for each block whose feed-forward sub-layer is open."""


class GateSet(nn.Module):
    """One gate for each unit. Its only parameter is log alpha: the larger, the likelier the gate is open.

    While it trains, a gate is drawn as `z = clip(s (HIGH - LOW) + LOW)` with
    `s = sigmoid((logit(u) + log alpha) / temperature)` and u uniform in (0, 1). Afterwards nothing is drawn. The
    likeliest units of each layer are open, as many as the layer is expected to keep. Their gates have the value
    `sigmoid(0.8 log alpha / temperature)`, which is never 0 (the rule of FLOP, Wang et al., EMNLP 2020).
    """

    _nothing: Tensor

    def __init__(
        self,
        config: EncoderConfig,
        units: Sequence[Unit] = ("channels", "heads", "ffn"),
        drop: float = 0.01,
        ffn_drop: float = 0.01,
        temperature: float = 2 / 3,
    ) -> None:
        """`drop` and `ffn_drop` are rates r at which units are dropped: a log alpha starts near log((1 - r) / r).

        Raises: InputError if heads are to have gates, and blocks share them with the blocks whose maps they reuse.
        """
        super().__init__()
        if config.reuses_maps and {"heads", "attention_layers"} & set(units):
            raise InputError("encoder: blocks that reuse attention maps; expected none where heads have gates")
        self.temperature = temperature
        depth = [config.depth]
        self.full = sizes_of(config)
        self._full = self.full._asdict() | {"attention_layers": depth, "ffn_layers": depth}
        self.log_alphas = nn.ModuleDict()
        # An empty buffer follows the module from device to device. It tells the device when there are no parameters.
        self.register_buffer("_nothing", torch.empty(0), persistent=False)
        for unit in units:
            rate = ffn_drop if unit == "ffn" else drop
            counts = self._full[unit][: config.free_convs] if unit == "channels" else self._full[unit]
            starts = (torch.randn(count) * INITIAL_STD + math.log((1 - rate) / rate) for count in counts)
            self.log_alphas[unit] = nn.ParameterList(nn.Parameter(log_alpha_U) for log_alpha_U in starts)

    @property
    def count(self) -> int:
        """Number of gates."""
        return sum(log_alpha_U.numel() for log_alpha_U in self.parameters())

    @torch.no_grad()
    def undecided(self) -> Tensor:
        """The share of gates whose probability of being open lies between 10 and 90 %. It is 0 without gates."""
        p_U = torch.cat([self._nothing, *(p_U for unit in self.log_alphas for p_U in self._open_probabilities(unit))])
        return ((p_U > UNDECIDED) & (p_U < 1 - UNDECIDED)).sum() / max(1, self.count)

    def sample(self) -> GateValues:
        """New random values from torch's generator. They are differentiable with respect to the log alphas."""

        def value(log_alpha_U: Tensor) -> Tensor:
            noise_U = torch.rand_like(log_alpha_U).clamp(_NOISE_EDGE, 1 - _NOISE_EDGE)
            s_U = torch.sigmoid((torch.logit(noise_U) + log_alpha_U) / self.temperature)
            return (s_U * (HIGH - LOW) + LOW).clamp(0.0, 1.0)

        layers = {unit: [value(x_U) if gated else x_U for x_U, gated in self._each(unit)] for unit in self._full}
        return _gate_values(layers)

    def expected(self) -> Sizes:
        """How many units of each layer are open on average, as differentiable scalar tensors.

        Gates are independent, so the probability of a unit and that of its sub-layer multiply.
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
        """The expected counts, rounded, after `shift` is added to every log alpha.

        Channels and feed-forward units are rounded to multiples of `multiple`, or to all that a layer has. Every
        convolution keeps at least one channel.
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
        """The values of gates that are no longer random. `open_units`, by default the expected ones, are open."""
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
        """The probability that each gate is open, after `shift` is added to its log alpha."""
        # A gate is open if its stretched sigmoid is above 0. This is the closed form of that probability.
        edge = self.temperature * math.log(-LOW / HIGH)
        return [torch.sigmoid(x_U + shift - edge) if gated else x_U for x_U, gated in self._each(unit)]

    def _each(self, unit: str) -> list[tuple[Tensor, bool]]:
        """The log alphas of each layer, each with True. Units without gates give ones, each with False."""
        gated = list(self.log_alphas[unit].parameters()) if unit in self.log_alphas else []
        ungated = self._full[unit][len(gated) :]
        return [(log_alpha_U, True) for log_alpha_U in gated] + [
            (self._nothing.new_ones(count), False) for count in ungated
        ]


def _likeliest(log_alpha_U: Tensor, count: int) -> Tensor:
    # A stable sort, so that ties are broken alike on every machine.
    open_U = torch.zeros_like(log_alpha_U, dtype=torch.bool)
    open_U[log_alpha_U.argsort(descending=True, stable=True)[:count]] = True
    return open_U


def _gate_values(layers: dict[str, list[Tensor]]) -> GateValues:
    (attention_U,), (ffn_U,) = layers["attention_layers"], layers["ffn_layers"]
    return GateValues(layers["channels"], layers["heads"], layers["ffn"], attention_U, ffn_U)


class GatedEncoder(nn.Module):
    """An encoder with gates. They are drawn anew in each training pass and fixed in eval mode. Nothing is cached."""

    def __init__(self, encoder: Encoder, gates: GateSet) -> None:
        """Takes the encoder over. Its norms over gated channels are replaced, and weights keep their names."""
        super().__init__()
        self.encoder = encoder
        self.gates = gates
        if encoder.config.norms_features:
            encoder.feature_norm = OpenNorm.of(encoder.feature_norm)
        norms = getattr(encoder.front_end, "norms", [])
        for layer, norm in enumerate(norms):
            if isinstance(norm, ChannelNorm):
                norms[layer] = OpenChannelNorm.of(norm)

    @property
    def config(self) -> EncoderConfig:
        return self.encoder.config

    def forward(self, audio_BS: Tensor, samples_B: Tensor, open_units: OpenUnits | None = None) -> Encoded:
        """The hidden states, as an encoder gives them. In eval mode `open_units` says how many gates are open."""
        values = self.gates.sample() if self.training else self.gates.values(open_units)
        weights = fold(self.encoder, values)
        # Norms find out here which channels are open: they are buffers, which functional_call replaces like weights.
        for name, norm in self.encoder.named_modules():
            if isinstance(norm, OpenNorm):
                layer = -1 if name == "feature_norm" else int(name.split(".")[-1])
                weights[f"{name}.open_C"] = (values.channels[layer] > 0).to(norm.weight.dtype)
        encoded: Encoded = functional_call(self.encoder, weights, (audio_BS, samples_B))
        return encoded


def fold(encoder: Encoder, values: GateValues) -> dict[str, Tensor]:
    """The weights of the layers that read gated units, scaled by the gates. A sub-layer's gate scales its bias too."""
    names = [f"front_end.convs.{layer}.weight" for layer in range(1, len(values.channels))]
    folded = {
        name: encoder.get_parameter(name) * z_C[:, None] for name, z_C in zip(names, values.channels[:-1], strict=True)
    }
    if encoder.config.projects:
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
    """LayerNorm whose statistics are those of the open channels. The other channels become zero."""

    open_C: Tensor

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> OpenNorm:
        """A norm that takes the place of `norm` and shares its weight and bias. All channels are open at first."""
        replaced = cls(list(norm.normalized_shape), eps=norm.eps)
        replaced.weight, replaced.bias = norm.weight, norm.bias
        replaced.register_buffer("open_C", torch.ones_like(norm.weight, requires_grad=False), persistent=False)
        return replaced

    def forward(self, x_BTC: Tensor) -> Tensor:
        # In full precision, as autocast on a GPU runs the LayerNorm that this one replaces.
        with torch.autocast(x_BTC.device.type, enabled=False):
            x_BTC = x_BTC.float()
            count = self.open_C.sum().clamp(min=1.0)
            centred_BTC = (x_BTC - (x_BTC * self.open_C).sum(-1, keepdim=True) / count) * self.open_C
            variance_BT1 = centred_BTC.square().sum(-1, keepdim=True) / count
            normed_BTC = centred_BTC * torch.rsqrt(variance_BT1 + self.eps)
            return (normed_BTC * self.weight + self.bias) * self.open_C


class OpenChannelNorm(OpenNorm):
    """An OpenNorm over the channels of each frame, where channels come before frames."""

    def forward(self, x_BCT: Tensor) -> Tensor:
        return super().forward(x_BCT.transpose(1, 2)).transpose(1, 2)
