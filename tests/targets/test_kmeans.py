"""k-means: sampling of cuts, the fit's determinism, assignment against sklearn and brute force."""

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances_argmin

from raysearch.errors import InputError
from raysearch.targets.kmeans import assign, fit_clusters, sample_cuts, soft_assign


def test_sample_until_limit_takes_whole_cuts() -> None:
    frames = {f"cut{i:03}": 10 + i for i in range(100)}
    chosen = sample_cuts(frames, 500, seed=3)
    total = sum(frames[cut] for cut in chosen)
    assert len(set(chosen)) == len(chosen)
    assert total >= 500 > total - frames[chosen[-1]]


def test_sample_above_the_corpus_takes_every_cut() -> None:
    assert sorted(sample_cuts({"a": 3, "b": 4}, 100, seed=0)) == ["a", "b"]


def test_sample_depends_on_seed_and_not_on_order() -> None:
    frames = {f"cut{i}": 5 for i in range(50)}
    backwards = dict(reversed(list(frames.items())))
    assert sample_cuts(frames, 40, seed=1) == sample_cuts(backwards, 40, seed=1)
    assert sample_cuts(frames, 40, seed=1) != sample_cuts(frames, 40, seed=2)


def test_fit_same_seed_gives_the_same_centres() -> None:
    frames_ND = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32)
    first_KD = fit_clusters(frames_ND, 16, seed=4)
    np.testing.assert_array_equal(first_KD, fit_clusters(frames_ND, 16, seed=4))
    assert not np.array_equal(first_KD, fit_clusters(frames_ND, 16, seed=5))
    assert first_KD.shape == (16, 5)
    assert first_KD.dtype == np.float32


def test_fit_separate_blobs_finds_each() -> None:
    rng = np.random.default_rng(0)
    blobs_KD = rng.normal(scale=50, size=(6, 4))
    frames_ND = (blobs_KD[rng.integers(6, size=3000)] + rng.normal(size=(3000, 4))).astype(np.float32)
    centres_KD = fit_clusters(frames_ND, 6, seed=0)
    assert np.linalg.norm(blobs_KD[:, None] - centres_KD, axis=-1).min(axis=1).max() < 1


def test_more_clusters_than_frames_are_refused() -> None:
    with pytest.raises(InputError, match=r"^targets\.clusters: 9; expected at most 8 frames$"):
        fit_clusters(np.zeros((8, 2), np.float32), 9, seed=0)


def test_assign_far_from_the_origin_equals_brute_force() -> None:
    rng = np.random.default_rng(0)
    offset_D = np.array([3000, 0, -500], np.float32)  # like the few huge dimensions of a HuBERT layer
    frames_TD = rng.normal(size=(40_000, 3)).astype(np.float32) + offset_D
    centres_KD = rng.normal(size=(20, 3)).astype(np.float32) + offset_D
    labels_T = assign(frames_TD, centres_KD)
    exact_T = pairwise_distances_argmin(frames_TD.astype(np.float64), centres_KD.astype(np.float64))
    assert (labels_T != exact_T).mean() < 1e-3
    assert labels_T.dtype == np.int16


def test_assign_many_clusters_needs_int32() -> None:
    centres_KD = np.stack(np.divmod(np.arange(40_000), 200), axis=1).astype(np.float32)
    labels_T = assign(np.array([[199.2, 198.9]], np.float32), centres_KD)
    np.testing.assert_array_equal(labels_T, [39_999])
    assert labels_T.dtype == np.int32


@pytest.mark.parametrize("clusters", [3, 4, 9])
def test_soft_assign_is_a_softmax_over_the_nearest_squared_distances(clusters: int) -> None:
    rng = np.random.default_rng(0)
    frames_TD, centres_KD = (rng.normal(size=(count, 5)).astype(np.float32) + 100 for count in (50, clusters))
    near_TM, share_TM = soft_assign(frames_TD, centres_KD, scale=2.0)
    for x_D, near_M, share_M in zip(frames_TD, near_TM, share_TM, strict=True):
        squared_K = np.square(centres_KD - x_D).sum(axis=1)
        nearest_M = squared_K.argsort()[:4]
        weights_M = np.exp(-squared_K[nearest_M] / 2.0)
        np.testing.assert_array_equal(near_M[: len(nearest_M)], nearest_M)
        # Shares are kept in half precision, and distances come from an expanded square.
        np.testing.assert_allclose(share_M[: len(nearest_M)], weights_M / weights_M.sum(), atol=2e-3)
        assert not share_M[len(nearest_M) :].any()
    np.testing.assert_array_equal(near_TM[:, 0], assign(frames_TD, centres_KD))
