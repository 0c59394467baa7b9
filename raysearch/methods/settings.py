"""Groups of settings that methods share. A search space names them by group and field: `student.depth`, `training.lr`.

No torch here: spaces are checked and costed without it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from raysearch.encoder.config import Blocks, EncoderConfig, LogMel, PositionConv, Waveform
from raysearch.errors import InputError
from raysearch.settings import Settings


def block_numbers(layers: list[int], depth: int, first: int = 1) -> list[int]:
    """Blocks counted from 1, of which `layers` may count some from the last, -1. With `first` 0, 0 may be among them.

    Raises: ValueError if there is no such block.
    """
    for layer in layers:
        if not first <= abs(layer) <= depth:
            raise ValueError(f"{layer}; expected {first} to {depth}, or -1 for the last block")
    return [layer if layer >= 0 else depth + 1 + layer for layer in layers]


def checked_blocks(key: str, layers: list[int], depth: int, first: int = 1) -> list[int]:
    """As `block_numbers`, of a teacher; `key` is the setting that names them.

    Raises: InputError if the teacher has no such block.
    """
    try:
        return block_numbers(layers, depth, first)
    except ValueError as err:
        raise InputError(f"{key}: {err}") from err


class StudentSettings(Settings):
    """The student's shape."""

    front_end: Literal["logmel-25hz", "logmel-50hz", "waveform"] = "logmel-25hz"
    """`waveform`: the seven convolutions of HuBERT at 50 Hz; `logmel-*`: Fast-HuBERT's, at 25 or 50 Hz."""
    channels: PositiveInt = 512
    """Channels of every convolution of the front end. In a waveform front end they cost most of the MACs."""
    depth: int = Field(12, ge=1)
    """Transformer blocks."""
    width: PositiveInt = 384
    """Width of the transformer; a multiple of heads and of 16."""
    heads: PositiveInt = 6
    """Attention heads of each block."""
    ffn_ratio: float = Field(4.0, gt=0)
    """Hidden units of the feed-forward sub-layer, as a multiple of width."""
    norm: Literal["post", "pre"] = "pre"
    """LayerNorm before each sub-layer trains more stably; after is HuBERT Base's."""
    position_kernel: PositiveInt = 128
    """Kernel of the position convolution, in frames."""
    centred: bool = False
    """Whether a log-mel front end subtracts each bin's mean over the recording; a waveform one has no bins."""
    range_db: float = Field(0.0, ge=0)
    """Decibels between a recording's loudest bin and the level below which a log-mel front end takes all for silence;
    0 keeps levels as they are. Short, quiet or noisy recordings want 30 to 50."""

    @model_validator(mode="after")
    def _divisible(self) -> StudentSettings:
        for name, divisor in (("student.heads", self.heads), ("position_conv.groups", 16)):
            if self.width % divisor:
                raise ValueError(f"width: {self.width}; expected a multiple of {name} = {divisor}")
        return self

    def encoder(self) -> EncoderConfig:
        return EncoderConfig(
            front_end=self._front_end(),
            width=self.width,
            norm=self.norm,
            position_conv=PositionConv(kernel=self.position_kernel),
            blocks=Blocks(
                count=self.depth,
                heads=self.heads,
                head_width=self.width // self.heads,
                ffn=round(self.width * self.ffn_ratio),
            ),
        )

    def _front_end(self) -> LogMel | Waveform:
        if self.front_end == "waveform":
            # LayerNorm in every convolution: GroupNorm's statistics would span the padding of a batch.
            return Waveform(channels=[self.channels] * 7, norm="layer", bias=False)
        strides = [2, 2] if self.front_end == "logmel-25hz" else [2, 1]
        return LogMel(channels=[self.channels] * 2, strides=strides, centred=self.centred, range_db=self.range_db)


class TrainingSettings(Settings):
    """How a student is trained."""

    lr: float = Field(5e-4, gt=0)
    """Peak learning rate of AdamW."""
    warmup: float = Field(0.08, ge=0, lt=1)
    """Share of the updates in which the rate rises linearly; then it falls linearly to zero."""
    batch_s: float = Field(87.5, gt=0)
    """Seconds of audio in a batch, padding included."""
    accumulate: PositiveInt = 1
    """Batches of every worker whose gradients are averaged into one update: it hears so many times `batch_s`."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled weight decay."""
    clip: float = Field(10.0, gt=0)
    """Gradient norm above which gradients are scaled down."""
    checkpoint_updates: PositiveInt = 500
    """Updates between checkpoints; a lost trial repeats at most so many. Rungs are always checkpointed."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the student while it trains. Short runs of small students underfit: 0 serves them better."""


class PredictionSettings(Settings):
    """Masked prediction of a label set (HuBERT)."""

    mask_prob: float = Field(0.8, ge=0, le=1)
    """Expected spans x span length / frames: 0.8 masks about 57 % of the frames, 0 masks none and counts all frames."""
    mask_ms: PositiveInt = 200
    """Length of a masked span in milliseconds: 200 is ten frames at 50 Hz."""
    unmasked_weight: float = Field(0.0, ge=0)
    """Weight of the loss on unmasked frames beside the masked ones' 1."""
    layers: list[int] = Field([-1], min_length=1)
    """Student blocks that predict the labels: 1 is the first, -1 the last, which must be among them."""
    intermediate: float = Field(0.0, ge=0, lt=1)
    """One more block that predicts them, as a share of the depth, so that depth can be searched; 0: none."""
    head: Literal["linear", "cosine"] = "cosine"
    """`cosine`: similarity of a projection to one learned code a label (HuBERT); `linear`: one linear layer."""
    temperature: float = Field(0.1, gt=0)
    """Divides the cosines; a linear head has none."""

    def blocks(self, depth: int) -> list[int]:
        """The student's blocks that predict, from the first.

        Raises: ValueError if a layer does not exist or is named twice, or the last block is not among them.
        """
        found = block_numbers(self.layers, depth)
        if depth not in found or len(set(found)) < len(found):
            raise ValueError(f"{self.layers}; expected each once, with -1 among them")
        between = {max(1, round(self.intermediate * depth))} if self.intermediate else set()
        return sorted({*found, *between})


class DistillationSettings(Settings):
    """Regression of a student's last block onto the teacher's hidden states (DistilHuBERT)."""

    layers: list[int] = Field([4, 8, 12], min_length=1)
    """Teacher blocks to predict, one linear head each: 1 is the first, -1 the last."""
    l1_weight: float = Field(1.0, ge=0)
    """Weight of the mean absolute difference."""
    cosine_weight: float = Field(1.0, ge=0)
    """Weight of -log sigmoid(cosine similarity)."""


class SelfDistillationSettings(Settings):
    """What a student learns of pseudo-labels, and of itself (UnFuSeD)."""

    control: Literal["none", "random", "ssl", "shuffled", "oracle"] = "none"
    """`random`: the student stays as drawn; `ssl`: the teacher itself takes its place; `shuffled`: pseudo-labels dealt
    out at random, which must hurt; `oracle`: true classes, the upper bound."""
    window_s: float = Field(0.95, ge=0)
    """Seconds of each cut that an update sees, at a new random place; 0 takes all of it."""
    speed: float = Field(0.0, ge=0, lt=1)
    """Share by which each cut is played faster or slower, drawn anew for every update."""
    exits: int = Field(3, ge=0)
    """Shallow exits, the deepest ones of those there are: one after each convolution stage, or before each block."""
    alpha: float = Field(0.7, ge=0)
    """Weight of the shallow exits' cross-entropy beside the deepest one's 1."""
    beta: float = Field(0.3, ge=0)
    """Weight of the divergence of each shallow exit's distribution from the deepest one's."""
    gamma: float = Field(0.003, ge=0)
    """Weight of 2 - 2 x cosine between the logits of each shallow exit and the deepest one's."""
    temperature: float = Field(1.0, gt=0)
    """Divides the logits whose distributions are compared."""
    detach: bool = False
    """Whether the deepest exit is left alone by the shallow ones; the published code lets them pull it."""


class MatchingSettings(DistillationSettings):
    """Matching of a pruned student's hidden states with its teacher's (DPHuBERT)."""

    layers: list[int] = Field([0, 4, 8, 12], min_length=1)
    """Layers to match: 0 enters the first block, 1 leaves it, -1 is the last."""
    cosine_weight: float = Field(1.0, ge=0)
    """Weight of 1 - cosine similarity."""


class CtcSettings(Settings):
    """Supervision of a student that is pruned for one task."""

    unit: Literal["auto", "phones", "characters"] = "auto"
    """What the head reads; `auto`: phones if the corpus has them, else characters."""
    head_lr: float = Field(1e-2, gt=0)
    """Peak rate of the linear head, which starts from nothing while the student does not."""


class PruningSettings(Settings):
    """How gates learn what to drop (HJ-Pruning)."""

    target: Literal["macs", "size", "separate-sizes"] = "macs"
    """What is held to its share: MACs, parameters, or the parameters of front end and transformer each."""
    macs_ratio: float = Field(0.5, gt=0, le=1)
    """Share of the teacher's MACs that stays, on SUPERB's 32 utterances. 1 prunes nothing: the dense model to compare
    with, trained as the others are."""
    size_ratio: float = Field(0.25, gt=0, le=1)
    """Share of the teacher's parameters that stays."""
    front_end_ratio: float = Field(0.5, gt=0, le=1)
    """Share of the front end's parameters that stays, with `separate-sizes`."""
    transformer_ratio: float = Field(0.25, gt=0, le=1)
    """Share of all other parameters that stays, with `separate-sizes`."""
    units: list[Literal["channels", "heads", "ffn", "attention_layers", "ffn_layers"]] = ["channels", "heads", "ffn"]
    """What has gates: convolution channels, attention heads, FFN units, whole sub-layers. In a search space one word,
    joined by `+`: `heads+ffn` prunes the transformer only."""
    multiple: PositiveInt = 1
    """Channels and FFN units left in a layer are a multiple of this: hardware likes 8 or 16, see
    `benchmarks/slice_speedup.py`. Too coarse a multiple misses the target and is refused."""
    continue_from: str | None = None
    """Folder of a finished pruning trial of the same teacher, absolute. The student starts as that trial's, and the
    target, still a share of the teacher, falls from what is left there."""
    share: float = Field(2 / 3, gt=0, lt=1)
    """Share of the updates that learns gates; the rest trains the sliced student. No trial is compared before."""
    ramp: float = Field(0.1, ge=0, le=1)
    """Share of the pruning updates over which the target falls linearly from the whole teacher to its ratio."""
    recovery_lr: float = Field(0.5, gt=0)
    """Peak rates after slicing, as a share of those before."""
    gate_lr: float = Field(0.1, gt=0)
    """Peak rate of the gates' own AdamW. A gate needs about 8 / rate updates from open to closed."""
    multiplier_lr: float = Field(3.0, gt=0)
    """Rate of the Lagrange multipliers' own gradient ascent."""
    stiffness: float = Field(50.0, ge=0)
    """Where the multiplier of the squared gap starts. Stiffer finds the target sooner, but hears less of the loss."""
    drop: float = Field(0.01, gt=0, lt=1)
    """Rate at which channels, heads and sub-layers are dropped at the start."""
    ffn_drop: float = Field(0.5, gt=0, lt=1)
    """Rate at which FFN units are dropped at the start."""
    temperature: float = Field(2 / 3, gt=0)
    """Of the gates' hard-concrete distribution: the lower, the nearer to 0 and 1 they are drawn."""

    @field_validator("units", mode="before")
    @classmethod
    def _one_word(cls, units: Any) -> Any:
        return units.split("+") if isinstance(units, str) else units

    @field_validator("continue_from")
    @classmethod
    def _absolute(cls, folder: str | None) -> str | None:
        # Workers run in other folders than the command.
        if folder is not None and not Path(folder).is_absolute():
            raise ValueError(f"{folder}; expected an absolute path")
        return folder

    @model_validator(mode="after")
    def _fine_enough(self) -> PruningSettings:
        # Heads and whole sub-layers are too coarse to meet a target.
        needed = ["ffn", "channels"] if self.target == "separate-sizes" else ["ffn"]
        for unit in needed:
            if unit not in self.units:
                raise ValueError(f"units: {self.units}; expected {' and '.join(needed)} among them")
        return self
