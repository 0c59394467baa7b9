"""Slices a gated encoder: the result is a physically smaller, ordinary encoder whose config has other numbers.

Shapes: C channels, U units of one layer, X head widths of all heads.
"""

from __future__ import annotations

import torch
from torch import Tensor

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.cost import Sizes, sized
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import OUTPUT, GateValues, fold

Cut = tuple[str, int, Tensor]
"""A weight's name, one of its dimensions, and the indices that stay in that dimension."""


def slice_encoder(encoder: Encoder, values: GateValues) -> tuple[Encoder, EncoderConfig]:
    """The encoder without the units whose gate is 0, and its config. The other gates are folded into its weights.

    Up to rounding it gives what the gated encoder gives with these values. A sub-layer that loses all its units keeps
    its output bias, scaled by the sub-layer's own gate. Dropout is not taken over.
    """
    indices = _open_indices(values)
    config = sized(encoder.config, Sizes(*([len(index_U) for index_U in layers] for layers in indices)))
    weights = {**encoder.state_dict(), **fold(encoder, values)}
    for name, dimension, index_U in [*_front_end_cuts(encoder, indices), *_block_cuts(encoder.config, indices)]:
        # The cuts name every weight that an encoder may have: this one may lack biases, norms or position gates.
        if name in weights:
            weights[name] = weights[name].index_select(dimension, index_U)
    for index, block in enumerate(config.block_list):
        for part, units in (("attention", block.heads), ("ffn", block.ffn)):
            path = f"blocks.{index}.{part}"
            if not units:
                weights.setdefault(f"{path}.bias", weights.get(f"{path}.{OUTPUT[part]}.bias"))
    # Building on the meta device draws no weights: they would be overwritten at once.
    with torch.device("meta"):
        smaller = Encoder(config)
    smaller.load_state_dict({name: weights[name].detach().clone() for name in smaller.state_dict()}, assign=True)
    return smaller.to(next(encoder.parameters()).device), config


def _open_indices(values: GateValues) -> Sizes:
    """The indices of the open units of each layer. A sub-layer whose own gate is closed has none."""
    zipped = zip(values.heads, values.attention_layers, strict=True), zip(values.ffn, values.ffn_layers, strict=True)
    heads, ffn = ([(z_U * z).nonzero()[:, 0] for z_U, z in layers] for layers in zipped)
    return Sizes([z_C.nonzero()[:, 0] for z_C in values.channels], heads, ffn)


def _front_end_cuts(encoder: Encoder, indices: Sizes) -> list[Cut]:
    cuts: list[Cut] = [("feature_norm.weight", 0, indices.channels[-1]), ("feature_norm.bias", 0, indices.channels[-1])]
    cuts.append(("projection.weight", 1, indices.channels[-1]))
    glu = encoder.config.front_end.kind == "logmel"
    for layer, (index_C, full) in enumerate(zip(indices.channels, encoder.config.front_end.channels, strict=True)):
        # A gated linear unit's second half gates the first, channel by channel.
        outputs_C = torch.cat([index_C, index_C + full]) if glu else index_C
        for name in ("weight", "bias"):
            cuts.append((f"front_end.convs.{layer}.{name}", 0, outputs_C))
            cuts.append((f"front_end.norms.{layer}.{name}", 0, index_C))
        cuts.append((f"front_end.convs.{layer + 1}.weight", 1, index_C))
    return cuts


def _block_cuts(config: EncoderConfig, indices: Sizes) -> list[Cut]:
    cuts: list[Cut] = []
    for index, (heads_U, ffn_U) in enumerate(zip(indices.heads, indices.ffn, strict=True)):
        width = config.block_list[index].head_width
        inner_X = (heads_U[:, None] * width + torch.arange(width, device=heads_U.device)).flatten()
        for part, reads, units_X in (("attention", ("q", "k", "v"), inner_X), ("ffn", ("up",), ffn_U)):
            path = f"blocks.{index}.{part}"
            cuts += [(f"{path}.{name}.{kind}", 0, units_X) for name in reads for kind in ("weight", "bias")]
            cuts.append((f"{path}.{OUTPUT[part]}.weight", 1, units_X))
        gate = f"blocks.{index}.attention.gate"
        cuts += [(f"{gate}.scale_1N11", 1, heads_U), (f"{gate}.of_N", 0, heads_U)]
    return cuts
