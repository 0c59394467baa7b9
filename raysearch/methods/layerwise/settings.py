"""Settings of the methods whose student learns from the teacher block by block. This file does not import torch."""

from __future__ import annotations

from pydantic import Field

from raysearch.methods.features.settings import FeatureStudent
from raysearch.settings import Count, Settings
from raysearch.training.settings import TrainingSettings


class LayerwiseSettings(Settings):
    """What every block of a student learns from the teacher's block at the same share of the depth."""

    def layers_of(self, student: int, teacher: int) -> list[int]:
        """The teacher's layer for each of the student's, from 0, the first block's input. Both are depths."""
        return [(2 * layer * teacher + student) // (2 * student) for layer in range(student + 1)]


class MaskedLayersSettings(LayerwiseSettings):
    """Masking distillation of every block (ARMHuBERT)."""

    mask_prob: float = Field(0.8, ge=0, le=1)
    """Share of the frames that would be masked if no spans overlapped. 0 masks none, as FitHuBERT does."""
    mask_ms: Count = 200
    """Length of a masked span in milliseconds: 200 is ten frames at 50 Hz."""
    masked_teacher: bool = True
    """Whether unmasked frames learn what the teacher makes of speech that is masked too. That runs it in every update;
    with `false` all frames learn what it makes of whole speech, which is kept."""
    unmasked_weight: float = Field(1.0, ge=0)
    """Weight of the loss of unmasked frames beside the masked ones' 1."""
    inner_weight: float = Field(0.1, ge=0)
    """Weight of each block but the last, which has weight 1."""

    @property
    def asks_masked(self) -> bool:
        """Whether the teacher hears masked speech in every update."""
        return self.masked_teacher and self.mask_prob > 0

    def layers_of(self, student: int, teacher: int) -> list[int]:
        """The teacher's block for each block of the student. The input of the first block is not learned."""
        return super().layers_of(student, teacher)[1:]


class RelationSettings(LayerwiseSettings):
    """Distillation of speech temporal relations (STaRHuBERT)."""

    within_weight: float = Field(1.0, ge=0)
    """Weight of the relations between the frames of what a block gives (layer-wise)."""
    across_weight: float = Field(1.0, ge=0)
    """Weight of the relations between the frames that a block reads and those that it gives (intra-layer)."""


class ReusingStudent(FeatureStudent):
    """The student's shape."""

    blocks_per_map: Count = 2
    """Neighbouring blocks that share the attention map of the first of them, so that the others have no queries and
    keys."""


class ArmHubertSettings(Settings):
    """Train a student whose blocks imitate the teacher's where speech is masked and where it is not."""

    student: ReusingStudent = ReusingStudent()
    """The student's shape."""
    distillation: MaskedLayersSettings = MaskedLayersSettings()
    """Masks, and the loss of each block."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches."""


class StarHubertSettings(Settings):
    """Train a student whose frames relate to each other as the teacher's do."""

    student: FeatureStudent = FeatureStudent()
    """The student's shape."""
    distillation: RelationSettings = RelationSettings()
    """Relations, and their weights."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches."""
