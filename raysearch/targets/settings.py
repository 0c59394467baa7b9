"""What a label set is made from, as a search space names it: `targets.layer`, `targets.clusters`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, PositiveInt, field_validator

from raysearch.settings import Settings

POINTS_PER_CLUSTER = 39
"""Below so many cuts a cluster, k-means is known to find poor centres (faiss warns at the same number)."""
SHORTEST_PIECE_S = 0.15
"""Pieces come out up to a third shorter, and a student needs a few frames of each."""


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
    refresh: int = Field(0, ge=0)
    """Updates after which the labels are made anew, again and again, as clusters of the student's own middle block; 0:
    never. Each time costs a pass over the corpus and k-means."""


class PseudoLabelSettings(Settings):
    """Pseudo-labels: k-means clusters of whole cuts of the training split, or of their pieces."""

    layer: int = -1
    """Teacher layer that is pooled: 1 is the first block's output, -1 the last block's."""
    piece_s: float = Field(0.0, ge=0)
    """Seconds of the pieces into which training cuts are divided, each with a cluster of its own; 0 leaves cuts whole,
    else at least 0.15. Recordings of many sounds want 0.25, about a syllable. The teacher hears whole cuts then, and no
    windows."""
    window_s: float = Field(0.95, ge=0)
    """Seconds of a cut that are embedded, at a random place; 0 takes all of it. Shorter than the word that decides, it
    often misses it."""
    windows: PositiveInt = 1
    """Windows of each cut, whose embeddings are averaged."""
    pooling: Literal["mean", "max", "mean+max"] = "mean"
    """What is taken over the frames of a window; `mean+max` joins both."""
    segments: PositiveInt = 1
    """Equal stretches of a window, pooled each for itself: more than one keeps the order of sounds."""
    pca: int = Field(128, ge=0)
    """Dimensions that principal components leave, at most as many as cuts or features; 0 leaves all."""
    whiten: bool = True
    """Scale the components to variance 1, which takes `pca`."""
    l2: bool = True
    """Scale embeddings to length 1 before they are clustered."""
    clusters: int = Field(32, ge=2)
    """Clusters K. More than a 39th of the training cuts is warned of, more than all of them refused."""
    restarts: PositiveInt = 1
    """Starts of k-means, of which the best is kept."""
    iterations: PositiveInt = 20
    """Most iterations of k-means."""
    seed: int = Field(0, ge=0)
    """Seed of windows, components and first centres."""

    @field_validator("piece_s")
    @classmethod
    def _few_frames(cls, piece_s: float) -> float:
        if 0 < piece_s < SHORTEST_PIECE_S:
            raise ValueError(f"{piece_s}; expected 0 or at least {SHORTEST_PIECE_S}")
        return piece_s
