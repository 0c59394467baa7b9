"""Settings of the student's shape, and the numbers of the blocks that other settings name.

A search space names a setting by its group and its field, such as `student.depth` or `training.lr`. This file does not
import torch, because documents are checked without it.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from raysearch.encoder.config import AnyConfig, Blocks, ConvConfig, EncoderConfig, LogMel, PositionConv, Waveform
from raysearch.errors import InputError
from raysearch.settings import Count, Depth, Settings, Width


def block_numbers(layers: list[int], depth: int, first: int = 1) -> list[int]:
    """The numbers of blocks, counted from 1. `layers` may also count from the end, where the last block is -1.

    With `first` 0 they may hold 0, which is the input of the first block.

    Raises: ValueError if there is no such block.
    """
    for layer in layers:
        if not first <= abs(layer) <= depth:
            raise ValueError(f"{layer}; expected {first} to {depth}, or -1 for the last block")
    return [layer if layer >= 0 else depth + 1 + layer for layer in layers]


def checked_blocks(key: str, layers: list[int], depth: int, first: int = 1) -> list[int]:
    """The numbers of a teacher's blocks, as `block_numbers` gives them. `key` is the setting that names them.

    Raises: InputError if the teacher has no such block.
    """
    try:
        return block_numbers(layers, depth, first)
    except ValueError as err:
        raise InputError(f"{key}: {err}") from err


def with_blocks(teacher: AnyConfig) -> EncoderConfig:
    """The teacher, if it has blocks. One without a transformer has too few frames for a student to learn from.

    Raises: InputError if it has none.
    """
    if isinstance(teacher, ConvConfig):
        raise InputError("teacher.source: an encoder without a transformer; expected one with blocks")
    return teacher


def with_own_maps(teacher: EncoderConfig) -> EncoderConfig:
    """The teacher, if each of its blocks has an attention map of its own, so that heads and blocks may be left out.

    Raises: InputError if some block reuses that of the block before.
    """
    if teacher.reuses_maps:
        raise InputError("teacher.source: blocks that reuse attention maps; expected none: heads and blocks are cut")
    return teacher


FrontEndName = Literal["logmel-25hz", "logmel-50hz", "waveform", "waveform-thin", "waveform-scaled", "wespeaker-25hz"]


class StudentSettings(Settings):
    """The student's shape."""

    front_end: FrontEndName = "logmel-25hz"
    """Front end and its frame rate. `waveform`: the seven convolutions of HuBERT at 50 Hz; `waveform-thin`: the nine of
    ARMHuBERT at 50 Hz, of a quarter of channels, then half, then the width; `logmel-*`: Fast-HuBERT's convolutions over
    log-mel bins, at 25 or 50 Hz. Two are as sherpa-onnx computes them: `waveform-scaled` scales each recording to mean
    0 and variance 1 before it reads it; `wespeaker-25hz` ends its bins at 7.6 kHz and mirrors the recording at its
    ends, for models that tell speakers apart."""
    channels: Width = 512
    """Channels of every convolution of the front end. In a waveform front end they cost most of the MACs."""
    depth: Depth = 12
    """Number of transformer blocks."""
    width: Width = 384
    """Width of the transformer, a multiple of heads and of 16."""
    heads: Width = 6
    """Attention heads of each block."""
    head_width: Width | None = None
    """Width of one head. By default width / heads. With another, the width need not be a multiple of heads."""
    blocks_per_map: Count = 1
    """Neighbouring blocks that share the attention map of the first of them, so that the others have no queries and
    keys. ARMHuBERT has 2."""
    ffn_ratio: float = Field(4.0, gt=0, le=64)
    """Hidden units of the feed-forward sub-layer, as a multiple of width."""
    norm: Literal["post", "pre"] = "pre"
    """Place of LayerNorm. `pre`: before each sub-layer, which trains more stably; `post`: after it, as in HuBERT
    Base."""
    position_kernel: Width = 128
    """Kernel of the position convolution, in frames."""
    centred: bool = False
    """Whether a log-mel front end subtracts each bin's mean over the recording. A waveform front end has no bins."""
    range_db: float = Field(0.0, ge=0, le=1_000)
    """Decibels between a recording's loudest bin and the level below which a log-mel front end takes all for silence.
    0 keeps levels as they are. Short, quiet or noisy recordings want 30 to 50."""

    # The width of a head is rounded down below, so a student would else be narrower than was asked.
    @model_validator(mode="after")
    def _divisible(self) -> StudentSettings:
        for name, divisor in (
            ("student.heads", 1 if self.head_width else self.heads),
            ("position_conv.groups", 16),
        ):
            if self.width % divisor:
                raise ValueError(f"width: {self.width}; expected a multiple of {name} = {divisor}")
        return self

    def encoder(self) -> EncoderConfig:
        """The architecture that these settings describe."""
        return EncoderConfig(
            front_end=self._front_end(),
            width=self.width,
            norm=self.norm,
            position_conv=PositionConv(kernel=self.position_kernel),
            # The last of the thin convolutions is as wide as the transformer.
            projection=self.front_end != "waveform-thin",
            blocks=Blocks(
                count=self.depth,
                heads=self.heads,
                head_width=self.head_width or self.width // self.heads,
                ffn=round(self.width * self.ffn_ratio),
                blocks_per_map=self.blocks_per_map,
            ),
        )

    def _front_end(self) -> LogMel | Waveform:
        if self.front_end in ("waveform", "waveform-scaled"):
            # As in HuBERT Large. Base has one GroupNorm in their place.
            scaled = self.front_end == "waveform-scaled"
            return Waveform(channels=[self.channels] * 7, norm="layer", bias=False, normalise=scaled)
        if self.front_end == "waveform-thin":
            quarter, half = max(1, self.channels // 4), max(1, self.channels // 2)
            return Waveform(
                channels=[quarter, *[half] * 5, *[self.width] * 3],
                kernels=[10, 1, 3, 3, 3, 3, 1, 2, 2],
                strides=[5, 1, 2, 2, 2, 2, 1, 2, 2],
            )
        bins: dict[str, Any] = {"highest_hz": 7_600.0, "mirrored": True} if self.front_end == "wespeaker-25hz" else {}
        return LogMel(
            channels=[self.channels] * 2,
            strides=[2, 1] if self.front_end == "logmel-50hz" else [2, 2],
            centred=self.centred,
            range_db=self.range_db,
            **bins,
        )
