"""k-means: sampling of cuts, the fit's determinism, assignment against sklearn and brute force."""

import sys
from typing import Any

import faiss
import numpy as np
import pytest
import torch
from sklearn.metrics import pairwise_distances_argmin

from raysearch.errors import InputError
from raysearch.targets.kmeans import assign, fastest_kmeans, fit_clusters, sample_cuts, soft_assign
from raysearch.targets.quality import inertia

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)
BOTH = pytest.mark.parametrize("kmeans", ["minibatch", "faiss"])


def blobs(count: int, frames: int, width: int, spread: float) -> tuple[np.ndarray, np.ndarray]:
    """Centres (K, D) that lie this far apart, and frames (N, D) around them with variance 1."""
    rng = np.random.default_rng(0)
    blobs_KD = rng.normal(scale=spread, size=(count, width))
    frames_ND = blobs_KD[rng.integers(count, size=frames)] + rng.normal(size=(frames, width))
    return blobs_KD, frames_ND.astype(np.float32)


@pytest.fixture
def made_up_gpus(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """faiss as if it were built for two GPUs. The list holds the numbers of those that an index was moved to."""
    used = []

    def moved(resources: object, number: int, index: Any) -> Any:
        used.append(number)
        return index

    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 2)
    monkeypatch.setattr(faiss, "StandardGpuResources", object, raising=False)
    monkeypatch.setattr(faiss, "index_cpu_to_gpu", moved, raising=False)
    return used


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


@BOTH
def test_fit_same_seed_gives_the_same_centres(kmeans: str) -> None:
    frames_ND = np.random.default_rng(0).normal(size=(2000, 5)).astype(np.float32)
    first_KD = fit_clusters(frames_ND, 16, 4, kmeans)
    np.testing.assert_array_equal(first_KD, fit_clusters(frames_ND, 16, 4, kmeans))
    assert not np.array_equal(first_KD, fit_clusters(frames_ND, 16, 5, kmeans))
    assert first_KD.shape == (16, 5)
    assert first_KD.dtype == np.float32


@BOTH
def test_fit_separate_blobs_finds_each(kmeans: str) -> None:
    blobs_KD, frames_ND = blobs(6, 3000, 4, spread=50)
    centres_KD = fit_clusters(frames_ND, 6, 0, kmeans)
    assert np.linalg.norm(blobs_KD[:, None] - centres_KD, axis=-1).min(axis=1).max() < 1


@BOTH
def test_more_clusters_than_frames_are_refused(kmeans: str) -> None:
    frames_ND = np.arange(16, dtype=np.float32).reshape(8, 2)
    with pytest.raises(InputError, match=r"^targets\.clusters: 9; expected at most 8 frames$"):
        fit_clusters(frames_ND, 9, 0, kmeans)
    # As many as frames is the most: each is a cluster.
    assert sorted(assign(frames_ND, fit_clusters(frames_ND, 8, 0, kmeans))) == list(range(8))


@pytest.mark.parametrize(("count", "spread"), [(60, 8.0), (10, 1.0)])
def test_faiss_clusters_are_as_tight_as_those_of_mini_batches(count: int, spread: float) -> None:
    _, frames_ND = blobs(count, 6_000, 12, spread)
    found = {}
    for kmeans in ("minibatch", "faiss"):
        centres_KD = fit_clusters(frames_ND, 60, 0, kmeans)
        found[kmeans] = inertia(frames_ND, centres_KD, assign(frames_ND, centres_KD))
    assert found["faiss"] < 1.05 * found["minibatch"]


def test_faiss_reads_all_frames_and_not_a_few_for_each_cluster() -> None:
    # The means of 256 frames for each of the two clusters would differ from these in the second digit.
    frames_ND = np.zeros((5_000, 2), np.float32)
    frames_ND[::50] = 10
    frames_ND[:, 1] = np.linspace(0, 1, 5_000)
    centres_KD = fit_clusters(frames_ND, 2, 0, "faiss")
    np.testing.assert_allclose(np.sort(centres_KD[:, 0]), [0, 10], atol=1e-3)
    expected = sorted([frames_ND[::50, 1].mean(), np.delete(frames_ND[:, 1], np.s_[::50]).mean()])
    np.testing.assert_allclose(np.sort(centres_KD[:, 1]), expected, atol=1e-3)


def test_faiss_fits_on_the_gpu_of_the_labels(made_up_gpus: list[int]) -> None:
    _, frames_ND = blobs(6, 300, 4, spread=50)
    on_cpu_KD = fit_clusters(frames_ND, 6, 0, "faiss", CPU)
    assert made_up_gpus == []
    np.testing.assert_array_equal(fit_clusters(frames_ND, 6, 0, "faiss", GPU), on_cpu_KD)
    assert made_up_gpus == [1]


def test_fastest_is_faiss_on_a_gpu_that_it_can_use_and_mini_batches_elsewhere(
    made_up_gpus: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (fastest_kmeans(CPU), fastest_kmeans(GPU)) == ("minibatch", "faiss")
    monkeypatch.setattr(faiss, "get_num_gpus", lambda: 0)
    assert fastest_kmeans(GPU) == "minibatch"
    monkeypatch.setitem(sys.modules, "faiss", None)
    assert fastest_kmeans(GPU) == "minibatch"


def test_faiss_that_is_not_installed_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "faiss", None)
    with pytest.raises(
        InputError, match=r"^targets\.kmeans: faiss: .+; expected minibatch, or `pip install faiss-cpu`"
    ):
        fit_clusters(np.zeros((8, 2), np.float32), 2, 0, "faiss")


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
