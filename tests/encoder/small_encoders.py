"""Small encoders of every kind, and a strategy that draws more."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import strategies as st

from raysearch.encoder.config import (
    Adapter,
    Block,
    EncoderConfig,
    LogMel,
    PositionConv,
    RelativePositions,
    TimeReduction,
    Waveform,
    Whisper,
)

FRONT_ENDS = {
    "group": Waveform(channels=[8] * 7),
    "layer": Waveform(channels=[8] * 7, norm="layer", bias=True),
    "logmel": LogMel(bins=20, channels=[8, 12]),
    "whisper": Whisper(bins=20, channels=[8, 16]),
}
UNEQUAL = [Block(heads=2, head_width=8, ffn=24), Block(heads=3, head_width=4, ffn=10)]


WAVLM = RelativePositions(buckets=12, distance=20, heads=4)


def small(
    front_end: str = "logmel",
    norm: str = "post",
    blocks: list[Block] = UNEQUAL,
    relative_positions: RelativePositions | None = None,
) -> EncoderConfig:
    whisper = front_end == "whisper"
    return EncoderConfig(
        front_end=FRONT_ENDS[front_end],
        width=16,
        norm=norm,
        position_conv=None if whisper else PositionConv(kernel=6, groups=4),
        sinusoids=1500 if whisper else None,
        key_bias=not whisper,
        relative_positions=relative_positions,
        blocks=blocks,
    )


each_kind = pytest.mark.parametrize(
    "config",
    [
        pytest.param(small(front_end, norm), id=f"{front_end}-{norm}")
        for front_end in FRONT_ENDS
        for norm in ("post", "pre")
    ]
    + [pytest.param(small("layer", relative_positions=WAVLM), id="wavlm")],
)

REUSED = [
    Block(heads=2, head_width=8, ffn=24),
    Block(heads=2, head_width=3, ffn=10, reuses_map=True),
]
"""Blocks of which the second takes the map of the first."""
THIN = Waveform(channels=[8, 8, 16], kernels=[10, 1, 79], strides=[5, 1, 64])
"""Three convolutions that see and make the frames of HuBERT's seven."""


def thin(norm: str = "post", repeated: bool | None = None, **more: Any) -> EncoderConfig:
    """An encoder with all that ARMHuBERT and FitHuBERT have: no projection, reused maps, and fewer frames in blocks."""
    reduction = None if repeated is None else TimeReduction(factor=2, repeated=repeated)
    config = small("layer", norm, REUSED).model_dump() | {"front_end": THIN, "projection": False}
    return EncoderConfig.model_validate(config | {"time_reduction": reduction} | more)


each_thin = pytest.mark.parametrize(
    "config",
    [
        pytest.param(thin(norm, repeated), id=f"{norm}-{repeated}")
        for norm in ("post", "pre")
        for repeated in (None, False, True)
    ]
    + [pytest.param(thin(relative_positions=WAVLM), id="wavlm")],
)


def _layers(draw: st.DrawFn, kernels: list[int]) -> dict[str, list[int]]:
    layers = draw(
        st.lists(st.tuples(st.integers(3, 6), st.sampled_from(kernels), st.integers(1, 3)), min_size=1, max_size=3)
    )
    channels, kernels, strides = (list(column) for column in zip(*layers, strict=True))
    return {"channels": channels, "kernels": kernels, "strides": strides}


@st.composite
def encoder_configs(draw: st.DrawFn, reused: bool = False) -> EncoderConfig:
    """Any front end, unequal blocks, emptied sub-layers, adapters; a LayerNorm of one or two channels is little but
    rounding. With `reused` blocks may take the map of the block before."""
    width = 4 * draw(st.integers(1, 4))
    kind, projection = draw(st.sampled_from(["waveform", "logmel", "whisper"])), draw(st.booleans())
    layers = _layers(draw, [1, 2, 3, 5] if kind == "waveform" else [1, 3, 5])
    if kind == "whisper" or not projection:
        layers["channels"][-1] = width
    if kind == "waveform":
        norm = draw(st.sampled_from(["group", "layer"]))
        front_end = Waveform(**layers, norm=norm, bias=draw(st.booleans()))
    else:
        bins = draw(st.integers(4, 20))
        front_end = LogMel(**layers, bins=bins, mirrored=draw(st.booleans()))
        if kind == "whisper":
            front_end = Whisper(**layers, bins=bins)
    groups = draw(st.sampled_from([1, 2, 4]))
    position_conv = PositionConv(kernel=draw(st.integers(1, 9)), groups=groups)
    relative_positions = draw(st.sampled_from([None, RelativePositions(buckets=8, distance=9, heads=groups)]))
    most_heads = relative_positions.heads if relative_positions else 3
    adapter = st.none() | st.builds(Adapter, width=st.integers(1, 4), scale=st.sampled_from([0.5, 1.0]))
    sizes = {"heads": st.integers(0, most_heads), "head_width": st.integers(1, 5), "ffn": st.integers(0, 9)}
    blocks = draw(st.lists(st.builds(Block, **sizes, adapter=adapter), min_size=1, max_size=3))
    for index in range(1, len(blocks) * reused):
        if draw(st.booleans()):
            blocks[index] = blocks[index].model_copy(update={"reuses_map": True, "heads": blocks[index - 1].heads})
    reduction = st.builds(TimeReduction, factor=st.integers(2, 3), repeated=st.booleans())
    return EncoderConfig(
        front_end=front_end,
        width=width,
        norm=draw(st.sampled_from(["post", "pre"])),
        position_conv=draw(st.sampled_from([None, position_conv])),
        sinusoids=draw(st.sampled_from([None, 100_000])),
        projection=projection,
        time_reduction=draw(st.none() | reduction),
        key_bias=draw(st.booleans()),
        relative_positions=relative_positions,
        blocks=blocks,
    )
