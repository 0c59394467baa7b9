"""Settings of the methods that predict label sets. This file does not import torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raysearch.methods.settings import StudentSettings, block_numbers
from raysearch.settings import Count, Layer, Settings
from raysearch.targets.settings import TargetSettings
from raysearch.training.settings import TrainingSettings


class PredictionSettings(Settings):
    """Masked prediction of a label set (HuBERT)."""

    mask_prob: float = Field(0.8, ge=0, le=1)
    """Expected number of spans times their length, over the number of frames. 0.8 masks about 57 % of the frames, since
    spans overlap. 0 masks none, and the loss then counts all frames."""
    mask_ms: Count = 200
    """Length of a masked span in milliseconds: 200 is ten frames at 50 Hz."""
    unmasked_weight: float = Field(0.0, ge=0)
    """Weight of the loss on unmasked frames beside the masked ones' 1."""
    layers: list[Layer] = Field([-1], min_length=1, max_length=1_000)
    """Student blocks that predict the labels: 1 is the first, -1 the last, which must be among them."""
    intermediate: float = Field(0.0, ge=0, lt=1)
    """Where one more block predicts the labels, as a share of the depth, so that depth can be searched. 0 means
    nowhere."""
    head: Literal["linear", "cosine"] = "cosine"
    """What predicts the labels. `cosine`: similarity of a projected frame to one learned code for each label (HuBERT);
    `linear`: one linear layer."""
    temperature: float = Field(0.1, gt=0)
    """Divisor of the cosines. A linear head has none."""

    def blocks(self, depth: int) -> list[int]:
        """The numbers of the student's blocks that predict, in ascending order.

        Raises: ValueError if a layer does not exist or is named twice, or if the last block is not among them.
        """
        found = block_numbers(self.layers, depth)
        if depth not in found or len(set(found)) < len(found):
            raise ValueError(f"{self.layers}; expected each once, with -1 among them")
        between = {max(1, round(self.intermediate * depth))} if self.intermediate else set()
        return sorted({*found, *between})


class LabelPredictionSettings(Settings):
    """Train a student to predict a label set."""

    student: StudentSettings = StudentSettings()
    """The student's shape."""
    targets: TargetSettings = TargetSettings()
    """The label set."""
    prediction: PredictionSettings = PredictionSettings()
    """Masking, heads and loss."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches."""

    @model_validator(mode="after")
    def _last_block_learns(self) -> LabelPredictionSettings:
        try:
            self.prediction.blocks(self.student.depth)
        except ValueError as err:
            raise ValueError(f"prediction.layers: {err}") from err
        return self

    @model_validator(mode="after")
    def _refreshed_at_checkpoints(self) -> LabelPredictionSettings:
        # The encoder that a resumed trial's labels were made of must be on disk beside its checkpoint.
        if self.targets.refresh % self.training.checkpoint_updates:
            every = self.training.checkpoint_updates
            raise ValueError(
                f"targets.refresh: {self.targets.refresh}; expected a multiple of training.checkpoint_updates = {every}"
            )
        return self


class MfccTargets(TargetSettings):
    """The label set of HuBERT's first iteration."""

    source: Literal["teacher", "mfcc"] = "mfcc"
    """Features to cluster: `teacher` is the hidden states of one layer, `mfcc` 39 MFCCs with deltas, as in HuBERT's
    first iteration."""
    clusters: int = Field(100, ge=2, le=1_000_000)
    """Number of clusters K. It may not exceed the corpus's frames. More clusters cost k-means time once, but no
    training time."""


class HubertSettings(LabelPredictionSettings):
    """Train an encoder from nothing on clusters of MFCCs."""

    targets: MfccTargets = MfccTargets()
    """The label set."""


class FastPrediction(PredictionSettings):
    """Masked prediction of a label set at two depths (Fast-HuBERT)."""

    mask_ms: Count = 400
    """Length of a masked span in milliseconds: 400 is ten frames at 25 Hz."""
    intermediate: float = Field(1 / 3, ge=0, lt=1)
    """Where one more block predicts the labels, as a share of the depth, so that depth can be searched. 0 means
    nowhere."""
    head: Literal["linear", "cosine"] = "linear"
    """What predicts the labels. `linear`: one linear layer with plain cross-entropy; `cosine`: similarity of a
    projected frame to one learned code for each label (HuBERT)."""


class FastHubertSettings(LabelPredictionSettings):
    """Train a log-mel student to predict a label set at two depths."""

    prediction: FastPrediction = FastPrediction()
    """Masking, heads and loss."""
