"""Settings of the methods that regress onto a teacher's hidden states. This file does not import torch."""

from __future__ import annotations

from pydantic import Field

from raysearch.methods.settings import StudentSettings
from raysearch.settings import Layer, Settings
from raysearch.training.settings import TrainingSettings


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

    student: StudentSettings = StudentSettings()
    """The student's shape."""
    distillation: DistillationSettings = DistillationSettings()
    """Teacher blocks to predict, and the loss."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches."""
