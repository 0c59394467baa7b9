"""A student that inherits from its teacher: first its shape, which needs no torch, then its weights.

It keeps some of the teacher's blocks, and of these some of the units. A unit is a channel of a convolution, an
attention head or a hidden unit of a feed-forward network (FFN).

Shapes: U units of one layer, X weights that read a unit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from raysearch.encoder.config import Adapter, AnyConfig, ConvConfig, EncoderConfig
from raysearch.encoder.cost import Sizes, sized, sizes_of
from raysearch.errors import InputError
from raysearch.methods.settings import with_own_maps
from raysearch.methods.speaker.settings import AdapterSettings, InheritedSettings

if TYPE_CHECKING:
    from torch import Tensor

    from raysearch.encoder.encoder import Encoder


def inherited_config(teacher: AnyConfig, kept: InheritedSettings, adapter: AdapterSettings) -> EncoderConfig:
    """The student's architecture, adapters included.

    Raises: InputError if the teacher has fewer blocks than are kept, no blocks at all, adapters of its own, or blocks
            that reuse attention maps.
    """
    if isinstance(teacher, ConvConfig):
        raise InputError("teacher.source: an encoder without a transformer; expected one with blocks to keep")
    config = _cut(teacher, kept)
    config = sized(config, _sizes(config, kept))
    added = Adapter(width=adapter.width, scale=adapter.scale)
    return config.model_copy(
        update={"blocks": [block.model_copy(update={"adapter": added}) for block in config.block_list]}
    )


def inherited_student(teacher: Encoder, kept: InheritedSettings, adapter: AdapterSettings, dropout: float) -> Encoder:
    """The student with the weights of its teacher. Its adapters add nothing yet."""
    import torch

    from raysearch.encoder.build import bare_encoder
    from raysearch.encoder.encoder import Encoder
    from raysearch.encoder.gates import GateValues
    from raysearch.encoder.slicing import renumbered, slice_encoder

    config = _cut(teacher.config, kept)
    shallow = bare_encoder(config)
    weights = renumbered(teacher.state_dict(), _blocks(teacher.config.depth, kept))
    shallow.load_state_dict({name: weights[name] for name in shallow.state_dict()}, assign=True)
    sizes = _sizes(config, kept)
    importances = _importances(shallow)
    channels, heads, ffn = (
        [_heaviest(weight_U, count) for weight_U, count in zip(layers, counts, strict=True)]
        for layers, counts in zip(importances, sizes, strict=True)
    )
    whole = torch.ones(config.depth, device=next(teacher.parameters()).device)
    sliced, _ = slice_encoder(shallow, GateValues(channels, heads, ffn, whole, whole))
    student = Encoder(inherited_config(teacher.config, kept, adapter), dropout=dropout)
    fresh = {name: tensor for name, tensor in student.state_dict().items() if ".adapter." in name}
    student.load_state_dict({**sliced.state_dict(), **fresh})
    return student


def _cut(teacher: EncoderConfig, kept: InheritedSettings) -> EncoderConfig:
    if any(block.adapter for block in teacher.block_list):
        raise InputError("teacher: has adapters; expected an encoder without, since the student gets its own")
    with_own_maps(teacher)
    blocks = [teacher.block_list[index] for index in _blocks(teacher.depth, kept)]
    return teacher.model_copy(update={"blocks": blocks})


def _blocks(depth: int, kept: InheritedSettings) -> list[int]:
    if kept.blocks > depth:
        raise InputError(f"student.blocks: {kept.blocks}; expected at most the teacher's {depth}")
    if kept.which == "first":
        return list(range(kept.blocks))
    return [index * depth // kept.blocks for index in range(kept.blocks)]


def _sizes(config: EncoderConfig, kept: InheritedSettings) -> Sizes:
    full = sizes_of(config)
    ratios = (kept.channels_ratio, kept.heads_ratio, kept.ffn_ratio)
    # A sub-layer that pruning emptied already stays empty.
    channels, heads, ffn = (
        [min(count, max(1, round(ratio * count))) for count in counts]
        for counts, ratio in zip(full, ratios, strict=True)
    )
    # Without a projection the last convolution's channels are the width, which stays.
    return Sizes(channels if config.projects else [*channels[:-1], config.width], heads, ffn)


def _importances(encoder: Encoder) -> tuple[list[Tensor], list[Tensor], list[Tensor]]:
    """The importance of each channel, head and FFN unit of each layer: the length of the weights that read it."""
    weights = encoder.state_dict()
    # The next convolution reads a channel, and the projection reads those of the last one.
    convs = [weights[f"front_end.convs.{layer}.weight"] for layer in range(1, len(encoder.config.front_end.channels))]
    channels = [_lengths(weight.transpose(0, 1)) for weight in convs]
    # Without a projection the last convolution's channels are the width, of which all stay.
    projects, width = encoder.config.projects, encoder.config.width
    channels.append(_lengths(weights["projection.weight"].T) if projects else channels[0].new_ones(width))
    heads: list[Tensor] = []
    ffn: list[Tensor] = []
    nothing_11 = channels[0].new_zeros(1, 1)
    for index, block in enumerate(encoder.config.block_list):
        # A sub-layer that was emptied has no weights.
        out, down = (
            weights.get(f"blocks.{index}.{name}.weight", nothing_11).T for name in ("attention.out", "ffn.down")
        )
        heads.append(_lengths(out.reshape(max(1, block.heads), -1))[: block.heads])
        ffn.append(_lengths(down)[: block.ffn])
    return channels, heads, ffn


def _lengths(reader_UX: Tensor) -> Tensor:
    """The length of the weights that read each unit."""
    return reader_UX.flatten(1).norm(dim=1)


def _heaviest(weight_U: Tensor, count: int) -> Tensor:
    """1 for the `count` heaviest units, 0 for the others."""
    value_U = weight_U.new_zeros(len(weight_U))
    # A stable order keeps the first of equals, on every device.
    value_U[weight_U.detach().argsort(descending=True, stable=True)[:count]] = 1.0
    return value_U
