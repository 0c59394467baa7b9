"""Measures how well a partition of cuts into clusters agrees with their true classes.

Purity rises with the number of clusters even if the clusters mean nothing. So each figure stands beside the same figure
of random partitions with clusters of the same sizes.

Shapes: N cuts, K clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

_SHUFFLES = 20


def describe(labels_N: np.ndarray, clusters: int, classes: Sequence[str | None]) -> dict[str, float]:
    """Figures of a partition.

    `smallest` and `largest` are the sizes of clusters in cuts, and `entropy` is that of the sizes in nats. If all cuts
    have a class, there are also the figures of `agreement`, and as `..._random` those of random partitions.
    """
    counts_K = np.bincount(labels_N, minlength=clusters)
    shares = counts_K[counts_K > 0] / len(labels_N)
    found = {
        "smallest": float(counts_K.min()),
        "largest": float(counts_K.max()),
        "entropy": float(-(shares * np.log(shares)).sum()),
    }
    if any(one is None for one in classes):
        return found
    truth_N = np.unique([str(one) for one in classes], return_inverse=True)[1]
    found |= agreement(truth_N, labels_N)
    # A fixed seed, so that the same partition has the same figures.
    rng = np.random.default_rng(0)
    random = [agreement(truth_N, rng.permutation(labels_N)) for _ in range(_SHUFFLES)]
    return found | {f"{name}_random": float(np.mean([one[name] for one in random])) for name in random[0]}


def agreement(truth_N: np.ndarray, labels_N: np.ndarray) -> dict[str, float]:
    """Three measures of agreement between classes and clusters.

    `nmi` is the normalised mutual information (over the arithmetic mean of both entropies), `ari` the adjusted Rand
    index, and `purity` the share of cuts that have the most frequent class of their cluster.
    """
    return {
        "nmi": float(normalized_mutual_info_score(truth_N, labels_N)),
        "ari": float(adjusted_rand_score(truth_N, labels_N)),
        "purity": float(contingency_matrix(truth_N, labels_N).max(axis=0).sum() / len(truth_N)),
    }
