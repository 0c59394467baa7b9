"""Which part of an encoder a sub-network is, and the encoder document of its slice. It needs no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import lcm

from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.encoder.cost import Sizes, sized
from raysearch.errors import InputError, counted


@dataclass(frozen=True)
class SubNetwork:
    """A part of an encoder: some of its blocks, and of each family of units the first ones.

    Heads keep their width, and adapters all their units. Of the width the first channels of each piece are kept (see
    `width_pieces`).
    """

    blocks: tuple[int, ...]
    """The kept blocks, counted from 0 and ascending."""
    width: int
    """Kept channels of the transformer."""
    heads: tuple[int, ...]
    """Kept attention heads of each kept block. With 0 the sub-layer adds its output bias alone."""
    ffn: tuple[int, ...]
    """Kept feed-forward units of each kept block. With 0 the sub-layer adds its output bias alone."""
    channels: tuple[int, ...]
    """Kept channels of each convolution of the front end. Whisper's last convolution has no entry, since it makes the
    transformer's input: its channels are the width."""


def whole(config: AnyConfig) -> SubNetwork:
    """The sub-network that is all of the encoder. Raises: InputError if the encoder cannot have others."""
    transformer = _with_transformer(config)
    blocks = transformer.block_list
    return SubNetwork(
        blocks=tuple(range(len(blocks))),
        width=transformer.width,
        heads=tuple(block.heads for block in blocks),
        ffn=tuple(block.ffn for block in blocks),
        channels=tuple(transformer.front_end.channels[: transformer.free_convs]),
    )


def sub_config(config: AnyConfig, sub: SubNetwork) -> EncoderConfig:
    """The encoder document of the slice. Its cost is that of the sub-network, and nothing else is needed to build it.

    Raises: InputError, `sub-network: KEY: GOT; expected WHAT`, for the first thing that the encoder has not.
    """
    transformer = _with_transformer(config)
    for fault in _faults(transformer, sub):
        raise InputError(f"sub-network: {fault}")
    channels = [*sub.channels] if transformer.projects else [*sub.channels, sub.width]
    blocks = [transformer.block_list[block] for block in sub.blocks]
    kept = transformer.model_copy(update={"width": sub.width, "blocks": blocks})
    return sized(kept, Sizes(channels, sub.heads, sub.ffn))


def width_pieces(config: EncoderConfig) -> int:
    """How many equal pieces the width has, of each of which a narrower width keeps the same share.

    Groups of the position convolution, heads of the position gates, and sines and cosines stay as many as they are, so
    each of them grows narrower by the same share. An encoder that has none of them has one piece.
    """
    groups = config.position_conv.groups if config.position_conv else 1
    heads = config.relative_positions.heads if config.relative_positions else 1
    return lcm(groups, heads, 2 if config.sinusoids else 1)


def _with_transformer(config: AnyConfig) -> EncoderConfig:
    if not isinstance(config, EncoderConfig):
        raise InputError(
            f"encoder: kind: {config.kind}; expected one with a transformer: batch norms keep statistics of the whole"
        )
    if config.reuses_maps:
        raise InputError("encoder: blocks that reuse attention maps; expected none: blocks and heads are left out")
    return config


def _faults(config: EncoderConfig, sub: SubNetwork) -> Iterator[str]:
    """What the encoder has not, each as `KEY: GOT; expected WHAT`. Whoever asks for the next has mended the last."""
    full, pieces = whole(config), width_pieces(config)
    ascending = all(one < other for one, other in pairwise(sub.blocks))
    if not (sub.blocks and ascending and sub.blocks[0] >= 0 and sub.blocks[-1] < config.depth):
        yield f"blocks: {_listed(sub.blocks)}; expected one or more of 0 to {config.depth - 1}, ascending"
    if not 0 < sub.width <= config.width or sub.width % pieces:
        yield f"width: {sub.width}; expected a multiple of {pieces} from {pieces} to {config.width}"
    limits = {
        "heads": ([full.heads[block] for block in sub.blocks], 0),
        "ffn": ([full.ffn[block] for block in sub.blocks], 0),
        "channels": (full.channels, 1),
    }
    for key, (most, least) in limits.items():
        counts = getattr(sub, key)
        if len(counts) != len(most):
            thing = "convolution" if key == "channels" else "block"
            yield f"{key}: {_listed(counts)}; expected {counted(len(most), 'number')}, one for each {thing}"
        for place, (count, limit) in enumerate(zip(counts, most, strict=True)):
            if not least <= count <= limit:
                yield f"{key}[{place}]: {count}; expected {least} to {limit}"


def _listed(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers)) or "none"
