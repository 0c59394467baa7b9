"""Settings of label sets and pseudo-labels, which a search document has under `targets:`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator, model_validator

from raysearch.settings import Count, Layer, Seed, Settings

POINTS_PER_CLUSTER = 39
"""Cuts for each cluster below which k-means is known to find poor centres. faiss warns at the same number."""
SHORTEST_PIECE_S = 0.15
"""Shortest pieces in seconds that may be asked for. Pieces can come out up to a third shorter, and a student needs a
few frames of each."""


class OtherTargets(Settings):
    """A label set beside the first one, of the same features."""

    layer: Layer = -1
    """Teacher layer to cluster: 1 is the first block's output, -1 the last block's."""
    clusters: int = Field(500, ge=2, le=1_000_000)
    """Number of clusters K."""
    weight: float = Field(1.0, gt=0)
    """Weight of its prediction in the loss. That of the first label set is 1."""


class TargetSettings(Settings):
    """The label set: k-means clusters of features over the training split."""

    source: Literal["teacher", "mfcc"] = "teacher"
    """Features to cluster: `teacher` is the hidden states of one layer, `mfcc` 39 MFCCs with deltas, as in HuBERT's
    first iteration."""
    layer: Layer = -1
    """Teacher layer to cluster: 1 is the first block's output, -1 the last block's."""
    clusters: int = Field(500, ge=2, le=1_000_000)
    """Number of clusters K. It may not exceed the corpus's frames. More clusters cost k-means time once, but no
    training time."""
    normalise: bool = False
    """Bring each feature to mean 0 and variance 1 over the sampled frames before they are clustered. Otherwise a few
    loud features of a teacher decide which frames are alike."""
    soft: float = Field(0.0, ge=0)
    """How soft labels are. 0 gives each frame its nearest cluster alone. Otherwise a frame belongs to its four nearest
    clusters, and the share of each falls with its squared distance as exp(-distance / (soft x mean distance)), where
    the mean is over the sampled frames, each to its nearest cluster. 0.1 is nearly hard."""
    fit_frames: int = Field(200_000, ge=1, le=1_000_000_000)
    """Frames sampled, whole cuts at a time, to fit the clusters on."""
    kmeans: Literal["auto", "minibatch", "faiss"] = "auto"
    """What fits the clusters. `minibatch` is scikit-learn's MiniBatchKMeans on the CPU. `faiss` is the library of this
    name, on the GPU if it is built for one. `auto` takes a label set that is in the store already, whichever made it.
    If there is none, it is `faiss` where labels are made on a GPU that faiss can use, and `minibatch` elsewhere."""
    seed: Seed = 0
    """Seed of the sample and of the clusters' first centres."""
    refresh: int = Field(0, ge=0, le=1_000_000_000)
    """Updates after which the labels are made anew, again and again, as clusters of the student's own middle block.
    Each time costs a pass over the corpus and k-means. 0 means never."""
    more: list[OtherTargets] = Field([], max_length=100)
    """Label sets of other layers or with other K, which are predicted as well, each by heads of its own. The loss is
    the mean over all label sets by their weights."""

    @model_validator(mode="after")
    def _one_if_refreshed(self) -> TargetSettings:
        if self.refresh and self.more:
            raise ValueError(f"refresh: {self.refresh} with {len(self.more)} in more; expected one label set or 0")
        return self

    def each(self) -> list[TargetSettings]:
        """The settings of each label set, the first one first."""
        own = self.model_copy(update={"more": []})
        return [own, *(own.model_copy(update={"layer": one.layer, "clusters": one.clusters}) for one in self.more)]


class PseudoLabelSettings(Settings):
    """Pseudo-labels: k-means clusters of whole cuts of the training split, or of their pieces."""

    layer: Layer = -1
    """Teacher layer that is pooled: 1 is the first block's output, -1 the last block's."""
    piece_s: float = Field(0.0, ge=0, le=86_400)
    """Seconds of the pieces into which training cuts are divided, each with a cluster of its own. 0 leaves cuts whole,
    and the least otherwise is 0.15. For recordings of many sounds 0.25 is good, about a syllable. With pieces the
    teacher hears whole cuts in place of windows."""
    window_s: float = Field(0.95, ge=0, le=86_400)
    """Seconds of each window of a cut that is embedded, at a random place. 0 takes the whole cut. A window shorter than
    the word that decides often misses it."""
    windows: int = Field(1, ge=1, le=1_000)
    """Number of windows of each cut. Their embeddings are averaged."""
    pooling: Literal["mean", "max", "mean+max"] = "mean"
    """Statistic that is taken over the frames of a window. `mean+max` joins both."""
    segments: int = Field(1, ge=1, le=1_000)
    """Equal stretches of a window that are pooled separately. More than one keeps the order of sounds."""
    pca: int = Field(128, ge=0, le=65_536)
    """Number of principal components to keep, at most as many as cuts or features. 0 keeps the features as they are."""
    whiten: bool = True
    """Scale the components to variance 1. This needs `pca`."""
    l2: bool = True
    """Scale embeddings to length 1 before they are clustered."""
    clusters: int = Field(32, ge=2, le=1_000_000)
    """Number of clusters K. More than a 39th of the training cuts gives a warning, more than all of them an error."""
    restarts: int = Field(1, ge=1, le=1_000)
    """Number of starts of k-means. The best one is kept."""
    iterations: Count = 20
    """Largest number of iterations of k-means."""
    seed: Seed = 0
    """Seed of windows, components and first centres."""

    @field_validator("piece_s")
    @classmethod
    def _few_frames(cls, piece_s: float) -> float:
        if 0 < piece_s < SHORTEST_PIECE_S:
            raise ValueError(f"{piece_s}; expected 0 or at least {SHORTEST_PIECE_S}")
        return piece_s
