"""Settings of training: optimiser, schedule, batches. Documents are checked without torch, so none is imported."""

from __future__ import annotations

from pydantic import Field, PositiveInt

from raysearch.settings import Settings


class TrainingSettings(Settings):
    """How a student is trained."""

    lr: float = Field(5e-4, gt=0)
    """Peak learning rate of AdamW."""
    warmup: float = Field(0.08, ge=0, lt=1)
    """Share of the updates in which the rate rises linearly. Afterwards it falls linearly to zero."""
    batch_s: float = Field(87.5, gt=0)
    """Seconds of audio in a batch, padding included."""
    accumulate: PositiveInt = 1
    """Batches of every worker that make one update, as if they were one. It hears so many times `batch_s`."""
    weight_decay: float = Field(0.01, ge=0)
    """AdamW's decoupled weight decay."""
    clip: float = Field(10.0, gt=0)
    """Gradient norm above which gradients are scaled down."""
    checkpoint_updates: PositiveInt = 500
    """Updates between checkpoints. A lost trial repeats at most so many. Rungs always have a checkpoint."""
    dropout: float = Field(0.1, ge=0, lt=1)
    """Dropout of the student while it trains. Small students in short runs underfit, so 0 serves them better."""
