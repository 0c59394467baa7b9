"""The one document that says what an encoder is. Search documents, `raysearch cost` and checkpoints all use it.

"Base" and "Large" name the two published sizes of wav2vec 2.0, HuBERT and WavLM.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from raysearch.settings import Count, Depth, Settings, Width

SAMPLE_RATE_HZ = 16_000
FIRST_SAMPLE = 200
"""The sample on which the first frame is centred: frames begin at sample 0 and see 400. Only Whisper's and those of a
mirrored recording do not."""
FIRST_MIRRORED = 80
"""The sample on which the first frame of a mirrored recording is centred: the middle of the first 10 ms."""
HIGHEST_HZ = SAMPLE_RATE_HZ / 2
"""The frequency at which the last log-mel bin ends, unless it is told otherwise."""


class Waveform(Settings):
    """Strided convolutions over raw samples, as in wav2vec 2.0 and HuBERT.

    With the published kernels and strides a frame sees 400 samples, and there is one frame every 320 samples.
    """

    kind: Literal["waveform"] = "waveform"
    channels: list[Width] = Field([512] * 7, min_length=1, max_length=64)
    """Output channels of each convolution."""
    kernels: list[Width] = Field([10, 3, 3, 3, 3, 2, 2], min_length=1, max_length=64)
    """Kernel size of each convolution, in frames of its input."""
    strides: list[Width] = Field([5, 2, 2, 2, 2, 2, 2], min_length=1, max_length=64)
    """Stride of each convolution, in frames of its input."""
    norm: Literal["group", "layer"] = "group"
    """`group` puts one GroupNorm after the first convolution (Base), `layer` a LayerNorm after each (Large). The
    GroupNorm sees the valid frames of each recording alone."""
    bias: bool = False
    """Whether the convolutions have biases (Large: true)."""
    normalise: bool = False
    """Whether each recording is first scaled to mean 0 and variance 1 (Large: true)."""


class LogMel(Settings):
    """Log-mel bins at 100 Hz, then strided convolutions with gated linear units, as in Fast-HuBERT."""

    kind: Literal["logmel"] = "logmel"
    bins: Width = 80
    """Number of mel filters."""
    channels: list[Width] = Field([512, 512], min_length=1, max_length=64)
    """Channels after each gated linear unit. The convolution before it makes twice as many."""
    kernels: list[Width] = Field([5, 5], min_length=1, max_length=64)
    """Kernel size of each convolution, in frames. It must be odd, so that frames stay centred."""
    strides: list[Width] = Field([2, 2], min_length=1, max_length=64)
    """Stride of each convolution: [2, 2] gives 25 Hz, [2] or [2, 1] gives 50 Hz."""
    centred: bool = False
    """Subtract each bin's mean over the recording. This removes what the microphone and the level add."""
    range_db: float = Field(0.0, ge=0, le=1_000)
    """Decibels below the recording's loudest value at which values are cut off, so that silence and faint noise look
    the same. Values are then relative to the loudest one. 0 keeps levels as they are."""
    highest_hz: float = Field(HIGHEST_HZ, ge=1_000, le=HIGHEST_HZ)
    """Frequency in Hz at which the last bin ends."""
    mirrored: bool = False
    """Whether the recording is mirrored at its ends, so that there is a frame around the middle of every 10 ms, as in
    Kaldi without `snip_edges`. Otherwise frames lie whole within the recording."""

    @model_validator(mode="after")
    def _odd_kernels(self) -> LogMel:
        if any(k % 2 == 0 for k in self.kernels):
            raise ValueError(f"kernels: {self.kernels}; expected odd kernels")
        return self


class Whisper(Settings):
    """Log-mel bins at 100 Hz as Whisper defines them, then convolutions with GELU.

    The last convolution makes the transformer's input itself, so there is no projection.
    """

    kind: Literal["whisper"] = "whisper"
    bins: Width = 80
    """Number of mel filters (large-v3: 128)."""
    channels: list[Width] = Field(min_length=1, max_length=64)
    """Output channels of each convolution. The last number is the width of the transformer."""
    kernels: list[Width] = [3, 3]
    """Kernel size of each convolution, in frames. It must be odd, so that frames stay centred."""
    strides: list[Width] = [1, 2]
    """Stride of each convolution: [1, 2] gives 50 Hz."""

    @model_validator(mode="after")
    def _odd_kernels(self) -> Whisper:
        if any(k % 2 == 0 for k in self.kernels):
            raise ValueError(f"kernels: {self.kernels}; expected odd kernels")
        return self


def is_mirrored(front_end: Waveform | LogMel | Whisper) -> bool:
    """Whether it makes log-mel frames of a recording that is mirrored at its ends."""
    return isinstance(front_end, LogMel) and front_end.mirrored


def kept_bins(front_end: Waveform | LogMel | Whisper) -> int | None:
    """Number of log-mel bins, if they are those that are computed once for all students. None for other front ends."""
    if not isinstance(front_end, LogMel) or front_end.mirrored or front_end.highest_hz != HIGHEST_HZ:
        return None
    return front_end.bins


FrontEnd = Annotated[Waveform | LogMel | Whisper, Field(discriminator="kind")]


class PositionConv(Settings):
    """A grouped convolution over frames, which tells the transformer where each frame stands."""

    kernel: Width = 128
    """Kernel size in frames. An even kernel makes one frame too many, which is trimmed."""
    groups: Width = 16
    """Groups of the convolution. Their number must divide the width."""


class RelativePositions(Settings):
    """WavLM's relative positions: attention gets a bias that depends on the distance between two frames."""

    buckets: int = Field(320, ge=4, le=65_536, multiple_of=2)
    """Distances that are told apart, counted over both directions together."""
    distance: Count = 800
    """Distance in frames from which on all distances share one bucket."""
    heads: Width
    """Attention heads of every block before the encoder was sliced."""

    @model_validator(mode="after")
    def _widening(self) -> RelativePositions:
        if self.distance <= self.buckets // 4:
            raise ValueError(f"distance: {self.distance}; expected more than a quarter of buckets = {self.buckets}")
        return self


class Adapter(Settings):
    """An adapter beside a feed-forward sub-layer: a LayerNorm, then two linear layers with ReLU between them."""

    width: Width
    """Hidden units of the adapter."""
    scale: float = Field(0.1, gt=0)
    """Factor on what the adapter adds."""


class _Sizes(Settings):
    """What single blocks and blocks that are written once have alike."""

    heads: int = Field(ge=0, le=65_536)
    """Attention heads of the block."""
    head_width: Width
    """Width of one head. heads x head_width need not equal the encoder's width."""
    ffn: int = Field(ge=0, le=4_194_304)
    """Hidden units of the feed-forward sub-layer."""
    adapter: Adapter | None = None
    """Adapter of the block. An encoder with adapters has two routes, one through them and one past them."""


class Block(_Sizes):
    """One transformer block. A sub-layer with no units left still adds its output bias."""

    reuses_map: bool = False
    """Whether the block takes the attention map of the block before it, head by head. It has no queries and keys then
    (ARMHuBERT)."""


class Blocks(_Sizes):
    """Several equal transformer blocks, written once."""

    count: Depth
    """Number of blocks."""
    blocks_per_map: Count = 1
    """Neighbouring blocks that share the attention map of the first of them. ARMHuBERT has 2, others 1."""


class TimeReduction(Settings):
    """A convolution before the first block that makes one frame of several, so that the blocks see fewer (FitHuBERT).

    Frames at the end that are too few for one more are left out.
    """

    factor: int = Field(2, ge=2, le=64)
    """Frames that become one. It is the kernel and the stride of the convolution."""
    repeated: bool = True
    """Whether each frame of the blocks is given out as often as frames went into it, so that the frame rate stays."""


class ConvConfig(Settings):
    """An encoder without a transformer: convolutions over a log-mel picture, then two linear layers (AudioNTT)."""

    kind: Literal["conv"] = "conv"
    bins: Width = 64
    """Number of mel filters. Each stage halves it."""
    channels: list[Width] = Field([64, 64, 64], min_length=1, max_length=16)
    """Channels of each stage. A stage is a 3 x 3 convolution, batch norm, ReLU, and a halving of time and frequency."""
    width: Width = 2048
    """Width of both linear layers."""
    centred: bool = False
    """Subtract each bin's mean over the recording. This removes what the microphone and the level add."""
    range_db: float = Field(0.0, ge=0, le=1_000)
    """Decibels below the recording's loudest value at which values are cut off, so that silence and faint noise look
    the same. Values are then relative to the loudest one. 0 keeps levels as they are."""

    @model_validator(mode="after")
    def _bins_left(self) -> ConvConfig:
        if not self.bins >> len(self.channels):
            raise ValueError(f"bins: {self.bins}; expected at least {1 << len(self.channels)}: each stage halves them")
        return self

    @property
    def depth(self) -> int:
        """Number of layers after the first hidden state, always 1. They stand where other encoders have blocks."""
        return 1

    @property
    def hop_samples(self) -> int:
        """Samples from one output frame to the next."""
        return 160 << len(self.channels)

    @property
    def first_sample(self) -> int:
        """The sample on which the first frame is centred."""
        return FIRST_SAMPLE

    @property
    def frame_hz(self) -> float:
        return SAMPLE_RATE_HZ / self.hop_samples

    @property
    def longest_s(self) -> float:
        """Seconds of the longest recording that it takes, which is infinite: it has no positions."""
        return math.inf


class EncoderConfig(Settings):
    """An encoder with a front end and a transformer. `Encoder(config)` needs nothing else."""

    front_end: FrontEnd
    """The part that turns audio into frames by convolutions over samples (`waveform`) or log-mel bins (`logmel`,
    `whisper`)."""
    width: Width
    """Width of the transformer."""
    norm: Literal["post", "pre"] = "post"
    """Where the LayerNorms are: after each sub-layer (`post`, Base) or before it (`pre`, Large)."""
    position_conv: PositionConv | None = PositionConv()
    """The convolution that tells the transformer where each frame stands. Whisper has none."""
    sinusoids: Count | None = None
    """Frames for which the encoder has sinusoidal positions, which are added to the features. It refuses longer
    recordings. Whisper has 1,500, which are 30 s."""
    relative_positions: RelativePositions | None = None
    """Relative positions in attention. WavLM has them, HuBERT and wav2vec 2.0 do not."""
    projection: bool = True
    """Whether a linear layer stands between front end and transformer. Without it the last convolution is as wide as
    the transformer, as in ARMHuBERT. Whisper has none."""
    time_reduction: TimeReduction | None = None
    """A convolution that makes one frame of several before the first block. FitHuBERT has it."""
    key_bias: bool = True
    """Whether the linear layer of attention's keys has a bias (Whisper: false)."""
    blocks: Blocks | Annotated[list[Block], Field(max_length=1_000)]
    """The transformer: equal blocks with their `count`, or a list with one entry for each block."""

    @model_validator(mode="after")
    def _consistent(self) -> EncoderConfig:
        if self.position_conv and self.width % self.position_conv.groups:
            groups = self.position_conv.groups
            raise ValueError(f"width: {self.width}; expected a multiple of position_conv.groups = {groups}")
        if self.sinusoids and self.width % 2:
            raise ValueError(f"width: {self.width}; expected an even number: sines take one half, cosines the other")
        if not self.projects and self.front_end.channels[-1] != self.width:
            channels = self.front_end.channels[-1]
            raise ValueError(f"front_end.channels: {channels} at the end; expected width = {self.width}")
        if self.relative_positions and self.width % self.relative_positions.heads:
            heads = self.relative_positions.heads
            raise ValueError(f"width: {self.width}; expected a multiple of relative_positions.heads = {heads}")
        for index, fault in _map_faults(self.block_list):
            raise ValueError(f"blocks[{index}].{fault}")
        lengths = {len(self.front_end.channels), len(self.front_end.kernels), len(self.front_end.strides)}
        if len(lengths) != 1:
            raise ValueError(
                "front_end: channels, kernels and strides differ in length; expected one entry a layer each"
            )
        return self

    @property
    def block_list(self) -> list[Block]:
        """One entry for each block, however the document writes them."""
        if isinstance(self.blocks, list):
            return self.blocks
        one = self.blocks
        first = Block(heads=one.heads, head_width=one.head_width, ffn=one.ffn, adapter=one.adapter)
        others = first.model_copy(update={"reuses_map": True})
        return [others if index % one.blocks_per_map else first for index in range(one.count)]

    @property
    def depth(self) -> int:
        """Number of transformer blocks."""
        return len(self.block_list)

    @property
    def reuses_maps(self) -> bool:
        """Whether some block takes the attention map of the block before it."""
        return any(block.reuses_map for block in self.block_list)

    @property
    def hop_samples(self) -> int:
        """Samples from one output frame to the next."""
        reduction = self.time_reduction
        return self.feature_hop * (reduction.factor if reduction and not reduction.repeated else 1)

    @property
    def feature_hop(self) -> int:
        """Samples from one frame of the front end to the next."""
        # Log-mel filterbanks make a frame every 10 ms, which is 160 samples.
        return math.prod(self.front_end.strides) * (1 if self.front_end.kind == "waveform" else 160)

    @property
    def first_sample(self) -> int:
        """The sample on which the first frame is centred."""
        if is_mirrored(self.front_end):
            return FIRST_MIRRORED
        # Whisper's windows are centred on multiples of the hop.
        return 0 if self.front_end.kind == "whisper" else FIRST_SAMPLE

    @property
    def longest_s(self) -> float:
        """Seconds of the longest recording that it takes. It is infinite without sinusoids, which alone have an end."""
        return self.sinusoids * self.feature_hop / SAMPLE_RATE_HZ if self.sinusoids else math.inf

    @property
    def norms_features(self) -> bool:
        """Whether a LayerNorm stands between the front end and the transformer."""
        return self.front_end.kind != "whisper"

    @property
    def projects(self) -> bool:
        """Whether a linear layer stands between the front end and the transformer, behind the LayerNorm."""
        return self.norms_features and self.projection

    @property
    def free_convs(self) -> int:
        """Number of convolutions, the first ones, that may lose channels: without a projection the last makes the
        transformer's input, as wide as the transformer."""
        return len(self.front_end.channels) - (not self.projects)

    @property
    def frame_hz(self) -> float:
        return SAMPLE_RATE_HZ / self.hop_samples


def _map_faults(blocks: list[Block]) -> Iterator[tuple[int, str]]:
    """Blocks whose attention map is not there to be reused, with what is wrong."""
    for index, block in enumerate(blocks):
        if block.reuses_map and not index:
            yield index, "reuses_map: true; expected false: no block before it has a map"
        elif block.reuses_map and block.heads != blocks[index - 1].heads:
            yield (
                index,
                f"heads: {block.heads}; expected those of the block whose map it reuses = {blocks[index - 1].heads}",
            )


AnyConfig = EncoderConfig | ConvConfig
"""What an encoder document may hold."""


def parse_config(document: Any) -> AnyConfig:
    """The encoder that a document describes. Raises: pydantic's ValidationError."""
    return config_model(document).model_validate(document)


def config_model(document: Any) -> type[EncoderConfig] | type[ConvConfig]:
    """Which of the two an encoder document is meant to be."""
    conv = isinstance(document, dict) and document.get("kind") == "conv"
    return ConvConfig if conv else EncoderConfig
