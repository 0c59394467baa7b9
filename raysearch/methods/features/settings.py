"""Settings of the methods that regress onto a teacher's hidden states. This file does not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from raysearch.encoder.config import EncoderConfig, TimeReduction
from raysearch.methods.settings import StudentSettings
from raysearch.settings import Layer, Settings
from raysearch.training.settings import TrainingSettings


class FeatureStudent(StudentSettings):
    """The student's shape."""

    start: Literal["blank", "teacher"] = "blank"
    """What the student begins as. `blank`: an encoder with weights that are drawn; `teacher`: front end, positions and
    the first `depth` blocks of the teacher, as in DistilHuBERT. It has the teacher's shape then, whatever else is said
    of it here."""
    time_reduction: int = Field(1, ge=1, le=64)
    """Frames that a convolution makes into one before the first block, so that the blocks see fewer. FitHuBERT has 2.
    Each is given out as often again."""

    def of_teacher(self, teacher: EncoderConfig) -> EncoderConfig:
        """The architecture that these settings describe, where the teacher's is this.

        Raises: ValueError if the teacher has fewer blocks than the student is to have of it.
        """
        config = self.encoder()
        if self.start == "teacher":
            if self.depth > teacher.depth:
                raise ValueError(f"student.depth: {self.depth}; expected at most the teacher's {teacher.depth}")
            config = teacher.model_copy(update={"blocks": teacher.block_list[: self.depth]})
        if self.time_reduction == 1:
            return config
        return config.model_copy(update={"time_reduction": TimeReduction(factor=self.time_reduction)})


class DistillationSettings(Settings):
    """Regression of a student's last block onto the teacher's hidden states (DistilHuBERT)."""

    layers: list[Layer] = Field([4, 8, 12], min_length=1, max_length=1_000)
    """Teacher blocks to predict, with one linear head each: 1 is the first block, -1 the last."""
    l1_weight: float = Field(1.0, ge=0)
    """Weight of the mean absolute difference in the loss."""
    cosine_weight: float = Field(1.0, ge=0)
    """Weight of -log sigmoid(cosine similarity) in the loss."""


class DistilHubertSettings(Settings):
    """Train a student to predict a teacher's hidden states."""

    student: FeatureStudent = FeatureStudent()
    """The student's shape."""
    distillation: DistillationSettings = DistillationSettings()
    """Teacher blocks to predict, and the loss."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches."""
