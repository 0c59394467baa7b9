"""Settings of UnFuSeD. This file does not import torch, because documents are checked without it."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raysearch.encoder.config import AnyConfig, ConvConfig
from raysearch.methods.settings import StudentSettings
from raysearch.settings import Depth, Settings, Width
from raysearch.targets.settings import PseudoLabelSettings
from raysearch.training.settings import TrainingSettings

BINS: int = ConvConfig.model_fields["bins"].default
MOST_STAGES = BINS.bit_length() - 1


class UnfusedStudent(StudentSettings):
    """The student's shape."""

    kind: Literal["conv", "transformer"] = "conv"
    """Kind of encoder. `conv`: convolutions over a log-mel picture, in `depth` stages that each halve time and
    frequency, and two linear layers; `transformer`: a front end and a transformer, as other students have."""
    depth: Depth = 3
    """Number of stages of convolution, or of transformer blocks."""
    channels: Width = 64
    """Channels of every convolution."""
    width: Width = 2048
    """Width of the linear layers or of the transformer, a multiple of heads and of 16."""
    heads: Width = 8
    """Attention heads of each transformer block."""

    @model_validator(mode="after")
    def _bins_left(self) -> UnfusedStudent:
        if self.kind == "conv" and self.depth > MOST_STAGES:
            raise ValueError(f"depth: {self.depth}; expected at most {MOST_STAGES}: each stage halves {BINS} bins")
        return self

    def encoder(self) -> AnyConfig:  # type: ignore[override]
        """The architecture that these settings describe."""
        if self.kind == "transformer":
            return super().encoder()
        return ConvConfig(
            channels=[self.channels] * self.depth, width=self.width, centred=self.centred, range_db=self.range_db
        )


class SelfDistillationSettings(Settings):
    """What a student learns from pseudo-labels, and from itself (UnFuSeD)."""

    control: Literal["none", "random", "ssl", "shuffled", "oracle"] = "none"
    """Control experiment in place of the method. `random`: the student stays as it was drawn; `ssl`: the teacher itself
    takes its place; `shuffled`: pseudo-labels are dealt out at random, which must hurt; `oracle`: true classes are
    learned, which is the upper bound."""
    window_s: float = Field(0.95, ge=0, le=86_400)
    """Seconds of each cut that an update sees, at a new random place. 0 takes all of it."""
    speed: float = Field(0.0, ge=0, lt=1)
    """Share by which each cut is played faster or slower, drawn anew for every update."""
    exits: int = Field(3, ge=0, le=1_000)
    """Number of shallow exits. There can be one after each convolution stage, or before each transformer block. The
    deepest of them are taken."""
    alpha: float = Field(0.7, ge=0)
    """Weight of the shallow exits' cross-entropy. That of the deepest exit has weight 1."""
    beta: float = Field(0.3, ge=0)
    """Weight of the divergence of each shallow exit's distribution from the deepest one's."""
    gamma: float = Field(0.003, ge=0)
    """Weight of 2 - 2 x cosine between the logits of each shallow exit and the deepest one's."""
    temperature: float = Field(1.0, gt=0)
    """Divisor of the logits whose distributions are compared."""
    detach: bool = False
    """Whether the shallow exits leave the deepest one alone. The published code lets them pull it."""


class UnfusedSettings(Settings):
    """Train a student to predict clusters of recordings or of their pieces."""

    student: UnfusedStudent = UnfusedStudent()
    """The student's shape."""
    targets: PseudoLabelSettings = PseudoLabelSettings()
    """The pseudo-labels."""
    distillation: SelfDistillationSettings = SelfDistillationSettings()
    """Exits, losses and the controls."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches."""
