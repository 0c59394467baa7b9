"""What a label set is made from, as a search space names it: `targets.layer`, `targets.clusters`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt

from raysearch.settings import Settings


class TargetSettings(Settings):
    """The label set: k-means clusters of features over the training split."""

    source: Literal["teacher", "mfcc"] = "teacher"
    """`teacher`: hidden states of one layer; `mfcc`: 39 MFCCs with deltas, HuBERT's first iteration."""
    layer: int = -1
    """Teacher layer: 1 is the first block's output, -1 the last block's."""
    clusters: int = Field(500, ge=2)
    """Label set size K. May not exceed the corpus's frames. Costs k-means time once, not training time."""
    fit_frames: PositiveInt = 200_000
    """Frames sampled, whole cuts at a time, to fit the clusters on."""
    seed: int = Field(0, ge=0)
    """Seed of the sample and of the clusters' first centres."""
