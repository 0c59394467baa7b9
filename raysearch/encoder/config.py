"""The one document that says what an encoder is: a spec, a cost sheet and a checkpoint all hold this."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, PositiveInt, model_validator

from raysearch.settings import Settings

SAMPLE_RATE_HZ = 16_000


class Waveform(Settings):
    """Strided convolutions over raw samples (wav2vec 2.0, HuBERT): 400 samples in view, one frame per 320."""

    kind: Literal["waveform"] = "waveform"
    channels: list[PositiveInt] = [512] * 7
    """Output channels of each convolution."""
    kernels: list[PositiveInt] = [10, 3, 3, 3, 3, 2, 2]
    """Kernel of each convolution, in input frames."""
    strides: list[PositiveInt] = [5, 2, 2, 2, 2, 2, 2]
    """Stride of each convolution."""
    norm: Literal["group", "layer"] = "group"
    """`group`: one GroupNorm after the first layer (Base); `layer`: a LayerNorm after each (Large)."""
    bias: bool = False
    """Whether the convolutions have biases (Large: true)."""
    normalise: bool = False
    """Whether each recording is first brought to mean 0 and variance 1 (Large: true)."""


class LogMel(Settings):
    """80 log-mel bins at 100 Hz, then strided convolutions with gated linear units (Fast-HuBERT)."""

    kind: Literal["logmel"] = "logmel"
    bins: PositiveInt = 80
    """Mel filters."""
    channels: list[PositiveInt] = [512, 512]
    """Channels after each gated unit; the convolution before it makes twice as many."""
    kernels: list[PositiveInt] = [5, 5]
    """Kernel of each convolution, in frames; odd, so that frames stay centred."""
    strides: list[PositiveInt] = [2, 2]
    """Stride of each convolution: [2, 2] gives 25 Hz, [2] or [2, 1] gives 50 Hz."""
    centred: bool = False
    """Subtract each bin's mean over the recording: takes out what microphone and level add."""
    range_db: float = Field(0.0, ge=0)
    """Values count from the recording's loudest one and end so many decibels below it, where silence and noise are all
    the same; 0 keeps levels as they are."""

    @model_validator(mode="after")
    def _odd_kernels(self) -> LogMel:
        if any(k % 2 == 0 for k in self.kernels):
            raise ValueError(f"kernels: {self.kernels}; expected odd kernels")
        return self


FrontEnd = Annotated[Waveform | LogMel, Field(discriminator="kind")]


class PositionConv(Settings):
    """The grouped convolution that tells frames where they are."""

    kernel: PositiveInt = 128
    """Kernel in frames; an even one makes a frame too many, which is trimmed."""
    groups: PositiveInt = 16
    """Groups; must divide the width."""


class RelativePositions(Settings):
    """WavLM's bias of attention by the distance of two frames."""

    buckets: int = Field(320, ge=4, multiple_of=2)
    """Distances that are told apart, both directions together."""
    distance: PositiveInt = 800
    """Frames from which on all distances share a bucket."""
    heads: PositiveInt
    """Heads of every block of the encoder before any was cut off."""

    @model_validator(mode="after")
    def _widening(self) -> RelativePositions:
        if self.distance <= self.buckets // 4:
            raise ValueError(f"distance: {self.distance}; expected more than a quarter of buckets = {self.buckets}")
        return self


class Adapter(Settings):
    """Two linear layers with ReLU between them, beside a feed-forward sub-layer, with a LayerNorm of their own."""

    width: PositiveInt
    """Hidden units."""
    scale: float = Field(0.1, gt=0)
    """Factor on what it adds."""


class Block(Settings):
    """One transformer block. A sub-layer that lost all its units keeps its output bias."""

    heads: int = Field(ge=0)
    """Attention heads."""
    head_width: PositiveInt
    """Width of one head; heads x head_width need not be the encoder's width."""
    ffn: int = Field(ge=0)
    """Hidden units of the feed-forward sub-layer."""
    adapter: Adapter | None = None
    """Where there is one, an encoder has two routes: with its adapters and without."""


class Blocks(Block):
    """Equal blocks, written once."""

    count: int = Field(ge=1)
    """How many."""


class ConvConfig(Settings):
    """An encoder without a transformer: convolutions over a log-mel picture, then two linear layers (AudioNTT)."""

    kind: Literal["conv"] = "conv"
    bins: PositiveInt = 64
    """Mel filters; each stage halves them."""
    channels: list[PositiveInt] = Field([64, 64, 64], min_length=1)
    """Channels of each stage: a 3 x 3 convolution, batch norm, ReLU, and a halving of time and frequency."""
    width: PositiveInt = 2048
    """Width of both linear layers."""
    centred: bool = False
    """Subtract each bin's mean over the recording: takes out what microphone and level add."""
    range_db: float = Field(0.0, ge=0)
    """Values count from the recording's loudest one and end so many decibels below it, where silence and noise are all
    the same; 0 keeps levels as they are."""

    @model_validator(mode="after")
    def _bins_left(self) -> ConvConfig:
        if not self.bins >> len(self.channels):
            raise ValueError(f"bins: {self.bins}; expected at least {1 << len(self.channels)}: each stage halves them")
        return self

    @property
    def depth(self) -> int:
        """Linear layers that change the width no more: one."""
        return 1

    @property
    def hop_samples(self) -> int:
        """Samples from one output frame to the next."""
        return 160 << len(self.channels)

    @property
    def frame_hz(self) -> float:
        return SAMPLE_RATE_HZ / self.hop_samples

    @property
    def pads_freely(self) -> bool:
        return True


class EncoderConfig(Settings):
    """An encoder: front end + transformer. `Encoder(config)` needs nothing else."""

    front_end: FrontEnd
    """From audio to frames: convolutions over samples (`waveform`) or over log-mel bins (`logmel`)."""
    width: PositiveInt
    """Width of the transformer."""
    norm: Literal["post", "pre"] = "post"
    """LayerNorm after each sub-layer (Base) or before it (Large)."""
    position_conv: PositionConv = PositionConv()
    """The convolution that tells frames where they are."""
    relative_positions: RelativePositions | None = None
    """WavLM has them; HuBERT and wav2vec 2.0 do not."""
    blocks: Blocks | list[Block]
    """The transformer: equal blocks with their `count`, or a list with one entry a block."""

    @model_validator(mode="after")
    def _consistent(self) -> EncoderConfig:
        if self.width % self.position_conv.groups:
            groups = self.position_conv.groups
            raise ValueError(f"width: {self.width}; expected a multiple of position_conv.groups = {groups}")
        if self.relative_positions and self.width % self.relative_positions.heads:
            heads = self.relative_positions.heads
            raise ValueError(f"width: {self.width}; expected a multiple of relative_positions.heads = {heads}")
        lengths = {len(self.front_end.channels), len(self.front_end.kernels), len(self.front_end.strides)}
        if len(lengths) != 1:
            raise ValueError(
                "front_end: channels, kernels and strides differ in length; expected one entry a layer each"
            )
        return self

    @property
    def block_list(self) -> list[Block]:
        """One entry a block, however the document writes them."""
        if isinstance(self.blocks, list):
            return self.blocks
        one = self.blocks
        return [Block(heads=one.heads, head_width=one.head_width, ffn=one.ffn, adapter=one.adapter)] * one.count

    @property
    def depth(self) -> int:
        return len(self.block_list)

    @property
    def hop_samples(self) -> int:
        """Samples from one output frame to the next."""
        hop = 1 if self.front_end.kind == "waveform" else 160
        for stride in self.front_end.strides:
            hop *= stride
        return hop

    @property
    def frame_hz(self) -> float:
        return SAMPLE_RATE_HZ / self.hop_samples

    @property
    def pads_freely(self) -> bool:
        """Whether a cut gives the same features padded in a batch as alone: GroupNorm's statistics span the padding."""
        return not (self.front_end.kind == "waveform" and self.front_end.norm == "group")


AnyConfig = EncoderConfig | ConvConfig
"""What an encoder document may hold."""


def parse_config(document: Any) -> AnyConfig:
    """Raises: pydantic's ValidationError."""
    return config_model(document).model_validate(document)


def config_model(document: Any) -> type[EncoderConfig] | type[ConvConfig]:
    """Which of the two an encoder document is meant to be."""
    conv = isinstance(document, dict) and document.get("kind") == "conv"
    return ConvConfig if conv else EncoderConfig
