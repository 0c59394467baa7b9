"""From embeddings to scores of pairs: cosine, and its normalisation by a cohort of other speakers.

Shapes: N pairs, C speakers of a cohort, M embeddings, E width of an embedding, K nearest of the cohort.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def unit(x_ME: NDArray[np.floating]) -> Floats:
    """Embeddings of length 1."""
    x = np.asarray(x_ME, np.float64)
    lengths: Floats = np.linalg.norm(x, axis=-1, keepdims=True)
    scaled: Floats = x / np.maximum(lengths, 1e-12)
    return scaled


def cosines(one_NE: NDArray[np.floating], other_NE: NDArray[np.floating]) -> Floats:
    """Of each pair, in [-1, 1]."""
    found: Floats = (unit(one_NE) * unit(other_NE)).sum(-1)
    return found


def as_norm(scores_N: Floats, one_NC: Floats, other_NC: Floats, nearest: int) -> Floats:
    """Adaptive symmetric normalisation: each side's score, measured by that side's scores with its nearest cohort.

    `one_NC`, `other_NC`: scores of either side with every cohort speaker.
    Source: Matejka et al., Interspeech 2017, section 2 (AS-norm1).
    """
    halves = []
    for side_NC in (one_NC, other_NC):
        top_NK = np.sort(side_NC, axis=1)[:, -nearest:]
        deviation_N = np.maximum(top_NK.std(axis=1), 1e-12)
        halves.append((scores_N - top_NK.mean(axis=1)) / deviation_N)
    normed: Floats = (halves[0] + halves[1]) / 2
    return normed


def cohort(embeddings_ME: NDArray[np.floating], speakers_M: list[str]) -> Floats:
    """One embedding (C, E) a speaker: the mean of his embeddings, each scaled to length 1 first."""
    names, index_M = np.unique(speakers_M, return_inverse=True)
    sums_CE = np.zeros((len(names), np.shape(embeddings_ME)[1]))
    np.add.at(sums_CE, index_M, unit(embeddings_ME))
    return unit(sums_CE)
