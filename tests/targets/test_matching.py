"""A refit of clusters, numbered as the old ones were."""

import numpy as np
import pytest

from raysearch.targets.kmeans import assign, fit_clusters
from raysearch.targets.label_set import LabelKey, LabelSet
from raysearch.targets.matching import matching_numbers

CLUSTERS, FRAMES = 20, 6_000


def label_set(labels_N: np.ndarray, hop_samples: int = 320) -> LabelSet:
    """The labels of two cuts, of one and two thirds of the frames."""
    key = LabelKey("teacher", "t", 1, CLUSTERS, 0, FRAMES, "c")
    third = len(labels_N) // 3
    return LabelSet(key, hop_samples, {}, labels_N, {"a": slice(0, third), "b": slice(third, len(labels_N))})


def all_labels(labels: LabelSet) -> np.ndarray:
    return np.concatenate([labels.labels("a"), labels.labels("b")])


def clustered(frames_ND: np.ndarray, seed: int) -> np.ndarray:
    return assign(frames_ND, fit_clusters(frames_ND, CLUSTERS, seed))


@pytest.fixture
def frames_ND() -> np.ndarray:
    rng = np.random.default_rng(0)
    blobs_KD = rng.normal(scale=10, size=(CLUSTERS, 6))
    return (blobs_KD[rng.integers(CLUSTERS, size=FRAMES)] + rng.normal(size=(FRAMES, 6))).astype(np.float32)


def test_refit_after_a_small_change_keeps_the_numbers(frames_ND: np.ndarray) -> None:
    old = label_set(clustered(frames_ND, 0))
    moved_ND = frames_ND + np.random.default_rng(1).normal(scale=0.2, size=frames_ND.shape).astype(np.float32)
    refit = label_set(clustered(moved_ND, 1))
    assert (all_labels(refit) == all_labels(old)).mean() < 0.3
    numbers_K = matching_numbers(refit, old)
    assert sorted(numbers_K) == list(range(CLUSTERS))
    kept = LabelSet(refit.key, refit.hop_samples, {}, refit.labels_N, refit.spans, numbers_K=numbers_K)
    assert (all_labels(kept) == all_labels(old)).mean() > 0.9


def test_clusters_at_half_the_rate_are_matched_at_the_same_moments() -> None:
    labels_N = np.random.default_rng(0).integers(CLUSTERS, size=FRAMES)
    shuffled_K = np.random.default_rng(1).permutation(CLUSTERS)
    slower = label_set(shuffled_K[labels_N[::2]], hop_samples=640)
    np.testing.assert_array_equal(matching_numbers(slower, label_set(labels_N))[shuffled_K], np.arange(CLUSTERS))
