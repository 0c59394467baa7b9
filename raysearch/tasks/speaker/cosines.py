"""Scores of pairs from their embeddings: cosines, and their normalisation by a cohort of other speakers.

Shapes: N pairs, C speakers of a cohort, M embeddings, E width of an embedding, K nearest of the cohort.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def unit(x_ME: NDArray[np.floating]) -> Floats:
    """The embeddings, scaled to length 1. One of zeros stays zeros."""
    x = np.asarray(x_ME, np.float64)
    lengths: Floats = np.linalg.norm(x, axis=-1, keepdims=True)
    scaled: Floats = x / np.maximum(lengths, 1e-12)
    return scaled


def cosines(one_NE: NDArray[np.floating], other_NE: NDArray[np.floating]) -> Floats:
    """The cosine of each pair, in [-1, 1]."""
    found: Floats = (unit(one_NE) * unit(other_NE)).sum(-1)
    return found


def cohort_moments(embeddings_ME: NDArray[np.floating], cohort_CE: Floats, nearest: int) -> Floats:
    """The mean and the deviation (M, 2) of each embedding's cosines with its nearest cohort speakers."""
    top_MK = np.sort(unit(embeddings_ME) @ unit(cohort_CE).T, axis=1)[:, -nearest:]
    # A single nearest speaker has no deviation to divide by.
    return np.stack([top_MK.mean(axis=1), np.maximum(top_MK.std(axis=1), 1e-12)], axis=1)


def as_norm(scores_N: Floats, one_N2: Floats, other_N2: Floats) -> Floats:
    """Scores after adaptive symmetric normalisation: each is measured by what its two sides score with their cohorts.

    `one_N2` and `other_N2` are the `cohort_moments` of the first and the second side of each pair.
    Source: Matejka et al., Interspeech 2017, section 2 (AS-norm1).
    """
    halves = [(scores_N - side_N2[:, 0]) / side_N2[:, 1] for side_N2 in (one_N2, other_N2)]
    normed: Floats = (halves[0] + halves[1]) / 2
    return normed


def cohort(embeddings_ME: NDArray[np.floating], speakers_M: list[str]) -> Floats:
    """One embedding (C, E) for each speaker: the mean of the speaker's embeddings, each scaled to length 1 first."""
    names, index_M = np.unique(speakers_M, return_inverse=True)
    sums_CE = np.zeros((len(names), np.shape(embeddings_ME)[1]))
    np.add.at(sums_CE, index_M, unit(embeddings_ME))
    return unit(sums_CE)
