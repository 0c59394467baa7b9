"""Settings of UnFuSeD. No torch here."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from raysearch.encoder.config import AnyConfig, ConvConfig
from raysearch.methods.settings import StudentSettings
from raysearch.settings import Settings
from raysearch.targets.settings import PseudoLabelSettings
from raysearch.training.settings import TrainingSettings


class UnfusedStudent(StudentSettings):
    """The student's shape."""

    kind: Literal["conv", "transformer"] = "conv"
    """`conv`: convolutions over a log-mel picture and two linear layers, in which `depth` stages of `channels` halve
    time and frequency and `width` is the linear layers'; `transformer`: as other students."""
    depth: int = Field(3, ge=1)
    """Stages of convolution, or transformer blocks."""
    channels: PositiveInt = 64
    """Channels of every convolution."""
    width: PositiveInt = 2048
    """Width of the linear layers or of the transformer; a multiple of heads and of 16."""
    heads: PositiveInt = 8
    """Attention heads of each block of a transformer."""

    def encoder(self) -> AnyConfig:  # type: ignore[override]
        if self.kind == "transformer":
            return super().encoder()
        return ConvConfig(
            channels=[self.channels] * self.depth, width=self.width, centred=self.centred, range_db=self.range_db
        )


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
