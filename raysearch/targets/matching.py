"""Gives the clusters of a new label set the numbers of the old ones that they are most like.

Shapes: T frames of a cut, K clusters.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from raysearch.targets.align import align_frames
from raysearch.targets.label_set import LabelSet


def matching_numbers(new: LabelSet, old: LabelSet) -> NDArray[np.int64]:
    """The old number (K) of each new cluster: of all ways to pair them, the one in which most frames keep their number.

    Both label sets have as many clusters, and the same cuts. Each old number is given once.
    Source: Kuhn, The Hungarian method for the assignment problem, 1955.
    """
    assert new.clusters == old.clusters, f"{new.clusters} clusters in place of {old.clusters}"
    together_KK = np.zeros((new.clusters, old.clusters), np.int64)
    for cut in new.spans:
        new_T = new.labels(cut)
        old_T = align_frames(old.labels(cut), old.hop_samples, new.hop_samples, len(new_T))
        np.add.at(together_KK, (new_T, old_T), 1)
    numbers_K: NDArray[np.int64] = linear_sum_assignment(together_KK, maximize=True)[1]
    return numbers_K
