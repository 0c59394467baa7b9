"""Slices a gated encoder: the result is a physically smaller, ordinary encoder whose config has other numbers.

It also holds the one table of where an encoder's units stand in its weights.
Shapes: C channels, U units of one layer, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from torch import Tensor

from raysearch.encoder.build import bare_encoder
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import Sizes, sized
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import OUTPUT, GateValues, fold

POSITION_KERNEL = "position_conv.conv.parametrizations.weight.original1"
"""The kernel of the position convolution before its taps are normalised, (D, inputs of a group, taps)."""


class Axis(NamedTuple):
    """The dimension of a weight along which the units of one layer stand.

    All units stand there `copies` times, one copy after another. Each takes `places` neighbouring places.
    """

    name: str
    dimension: int
    copies: int = 1
    places: int = 1

    def apart(self, weight: Tensor) -> Tensor:
        """The weight with this dimension split into three: copies, units, places."""
        return weight.unflatten(self.dimension, (self.copies, -1, self.places))

    def together(self, weight: Tensor) -> Tensor:
        """The weight with those three dimensions in one again."""
        return weight.flatten(self.dimension, self.dimension + 2)

    def take(self, weight: Tensor, index_U: Tensor) -> Tensor:
        """The weight with these units alone, in this order."""
        return self.together(self.apart(weight).index_select(self.dimension + 1, index_U))


# The tables name every weight that an encoder may have: one of them may lack biases, norms or position gates.


def channel_axes(config: EncoderConfig, layer: int) -> list[Axis]:
    """Where the output channels of a convolution of the front end stand, if they are not the transformer's width."""
    # A gated linear unit's second half gates the first, channel by channel.
    halves = 2 if config.front_end.kind == "logmel" else 1
    axes = [Axis(f"front_end.convs.{layer}.{kind}", 0, copies=halves) for kind in ("weight", "bias")]
    axes += [Axis(f"front_end.norms.{layer}.{kind}", 0) for kind in ("weight", "bias")]
    if layer + 1 < len(config.front_end.channels):
        return [*axes, Axis(f"front_end.convs.{layer + 1}.weight", 1)]
    return [*axes, Axis("feature_norm.weight", 0), Axis("feature_norm.bias", 0), Axis("projection.weight", 1)]


def head_axes(config: EncoderConfig, block: int) -> list[Axis]:
    """Where the attention heads of a block stand."""
    places, path = config.block_list[block].head_width, f"blocks.{block}.attention"
    reads = [f"{path}.{name}.{kind}" for name in ("q", "k", "v") for kind in ("weight", "bias")]
    gates = [Axis(f"{path}.gate.scale_1N11", 1), Axis(f"{path}.gate.of_N", 0)]
    return [*(Axis(name, 0, places=places) for name in reads), Axis(f"{path}.out.weight", 1, places=places), *gates]


def ffn_axes(block: int) -> list[Axis]:
    """Where the feed-forward units of a block stand."""
    path = f"blocks.{block}.ffn"
    return [Axis(f"{path}.up.weight", 0), Axis(f"{path}.up.bias", 0), Axis(f"{path}.down.weight", 1)]


def width_axes(config: EncoderConfig) -> list[Axis]:
    """Where the channels of the transformer's width stand.

    Two weights have fewer places than the width, since they are used again and again: the position convolution's kernel
    has the inputs of one group, and the position gates read those of one head.
    """
    vectors = [f"{name}.bias" for name in ("projection", "norm", "position_conv.conv", "time_reduction.conv")]
    vectors, rows = [*vectors, "norm.weight"], ["projection.weight", "time_reduction.conv.weight"]
    columns = ["sinusoids_TD", POSITION_KERNEL, "time_reduction.conv.weight"]
    for block in range(config.depth):
        path = f"blocks.{block}"
        norms = (f"{path}.{name}_norm" for name in ("attention", "ffn"))
        vectors += [f"{norm}.{kind}" for norm in (*norms, f"{path}.adapter.norm") for kind in ("weight", "bias")]
        outputs = [*(f"{path}.{part}.{name}" for part, name in OUTPUT.items()), f"{path}.adapter.up"]
        rows += [f"{output}.weight" for output in outputs]
        # An emptied sub-layer has a bias alone.
        vectors += [f"{output}.bias" for output in (*outputs, *(f"{path}.{part}" for part in OUTPUT))]
        inputs = (*(f"attention.{name}" for name in ("q", "k", "v", "gate.linear")), "ffn.up", "adapter.down")
        columns += [f"{path}.{name}.weight" for name in inputs]
    # Without a projection the channels of the last convolution are the width.
    made = [] if config.projects else channel_axes(config, len(config.front_end.channels) - 1)
    inside = [*(Axis(name, 0) for name in (*vectors, *rows, POSITION_KERNEL)), *(Axis(name, 1) for name in columns)]
    return [*made, *inside]


def slice_encoder(encoder: Encoder, values: GateValues) -> tuple[Encoder, EncoderConfig]:
    """The encoder without the units whose gate is 0, and its config. The other gates are folded into its weights.

    Up to rounding it gives what the gated encoder gives with these values. A sub-layer that loses all its units keeps
    its output bias, scaled by the sub-layer's own gate. Dropout is not taken over.
    """
    indices = _open_indices(values)
    config = sized(encoder.config, Sizes(*([len(index_U) for index_U in layers] for layers in indices)))
    weights = {**encoder.state_dict(), **fold(encoder, values)}
    for axis, index_U in _placed(encoder.config, indices):
        if axis.name in weights:
            weights[axis.name] = axis.take(weights[axis.name], index_U)
    for index, block in enumerate(config.block_list):
        for part, units in (("attention", block.heads), ("ffn", block.ffn)):
            path = f"blocks.{index}.{part}"
            if not units:
                weights.setdefault(f"{path}.bias", weights.get(f"{path}.{OUTPUT[part]}.bias"))
    return assembled(config, weights).to(next(encoder.parameters()).device), config


def assembled(config: EncoderConfig, weights: Mapping[str, Tensor]) -> Encoder:
    """The encoder that the config describes, with copies of these weights. It may name more than the encoder has."""
    encoder = bare_encoder(config)
    encoder.load_state_dict({name: weights[name].detach().clone() for name in encoder.state_dict()}, assign=True)
    return encoder


def renumbered(weights: Mapping[str, Tensor], blocks: Sequence[int]) -> dict[str, Tensor]:
    """The weights of an encoder that has these blocks alone, in this order, under the names that they have there."""
    found = {name: weight for name, weight in weights.items() if not name.startswith("blocks.")}
    for place, index in enumerate(blocks):
        old = f"blocks.{index}."
        found |= {f"blocks.{place}.{name[len(old) :]}": x for name, x in weights.items() if name.startswith(old)}
    return found


def _open_indices(values: GateValues) -> Sizes:
    """The indices of the open units of each layer. A sub-layer whose own gate is closed has none."""
    zipped = zip(values.heads, values.attention_layers, strict=True), zip(values.ffn, values.ffn_layers, strict=True)
    heads, ffn = ([(z_U * z).nonzero()[:, 0] for z_U, z in layers] for layers in zipped)
    return Sizes([z_C.nonzero()[:, 0] for z_C in values.channels], heads, ffn)


def _placed(config: EncoderConfig, indices: Sizes) -> list[tuple[Axis, Tensor]]:
    """Each place in which gated units stand, with the indices of those that stay."""
    found = []
    for layer, index_C in enumerate(indices.channels):
        # Without a projection the channels of the last convolution are the width, which has no gates.
        if layer < config.free_convs:
            found += [(axis, index_C) for axis in channel_axes(config, layer)]
    for block, (heads_U, ffn_U) in enumerate(zip(indices.heads, indices.ffn, strict=True)):
        found += [(axis, heads_U) for axis in head_axes(config, block)]
        found += [(axis, ffn_U) for axis in ffn_axes(block)]
    return found
