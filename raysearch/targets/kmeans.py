"""Clusters frames by k-means: the choice of cuts to fit on, the fit, and the nearest centre of each frame.

Two libraries can fit: scikit-learn on the CPU by mini-batches, and faiss by rounds over all frames, which a GPU does
quickly. They find other clusters, so that label sets say which of them it was.

Shapes: N frames of the sample, T frames of a cut, D features, K clusters, M nearest clusters.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from scipy.special import softmax
from sklearn.cluster import MiniBatchKMeans, kmeans_plusplus

from raysearch.errors import InputError
from raysearch.targets.label_set import NEAREST

# A long cut is labelled in chunks, which bounds its table of T x K distances.
_CHUNK_FRAMES = 16_384
# MiniBatchKMeans fits on 10,000 frames at a time, and chooses its first centres among three times as many.
_BATCH_FRAMES = 10_000
_START_FRAMES = 3 * _BATCH_FRAMES
# Rounds over all frames. It is the number that faiss takes unless told otherwise.
_ROUNDS = 25


def sample_cuts(frames: Mapping[str, int], limit: int, seed: int) -> list[str]:
    """The ids of randomly chosen whole cuts that together have at least `limit` frames, or of all cuts if they have
    fewer.

    `frames` gives the number of frames of each cut.
    """
    # Sorted, so that the order of the corpus does not matter.
    ids = sorted(frames)
    chosen, total = [], 0
    for position in np.random.default_rng(seed).permutation(len(ids)):
        if total >= limit:
            break
        chosen.append(ids[position])
        total += frames[ids[position]]
    return chosen


def fit_clusters(
    frames_ND: np.ndarray, clusters: int, seed: int, kmeans: str = "minibatch", device: torch.device | None = None
) -> np.ndarray:
    """The centres of the clusters, float32 (K, D). The same frames in the same order and the same seed give the same.

    `kmeans` is `minibatch` or `faiss`. Only faiss uses `device`, and only if it is a GPU that faiss is built for.
    Raises: InputError if there are more clusters than frames, or if faiss is asked for and not installed.
    Source: HuBERT's released recipe, but with one k-means++ start in place of the best of 20. Starts take most of the
    time. On AN4's MFCCs (K = 100 and 500) the inertia with one start or three differs by 0.4 %, no more than with two
    seeds.
    """
    if clusters > len(frames_ND):
        raise InputError(f"targets.clusters: {clusters}; expected at most {len(frames_ND)} frames")
    if kmeans == "faiss":
        return _by_faiss(frames_ND, clusters, seed, device)
    fitted = MiniBatchKMeans(
        clusters,
        init="k-means++",
        n_init=1,
        max_iter=100,
        batch_size=_BATCH_FRAMES,
        tol=0.0,
        max_no_improvement=100,
        reassignment_ratio=0.0,
        compute_labels=False,
        random_state=seed,
    ).fit(frames_ND)
    return fitted.cluster_centers_.astype(np.float32)


def _by_faiss(frames_ND: np.ndarray, clusters: int, seed: int, device: torch.device | None) -> np.ndarray:
    """The centres that faiss finds in rounds over all frames (Lloyd's algorithm).

    It begins as MiniBatchKMeans does. First centres that are drawn by chance alone leave some lumps without any, and
    rounds do not mend that.
    """
    faiss = load_faiss()
    starts = min(len(frames_ND), max(_START_FRAMES, 3 * clusters))
    chosen_S = np.random.default_rng(seed).choice(len(frames_ND), starts, replace=False)
    first_KD, _ = kmeans_plusplus(frames_ND[chosen_S], clusters, random_state=seed)
    # Otherwise faiss would leave out frames beyond 256 for each cluster, and warn of fewer than 39.
    points = {"min_points_per_centroid": 1, "max_points_per_centroid": len(frames_ND)}
    kmeans = faiss.Kmeans(frames_ND.shape[1], clusters, niter=_ROUNDS, **points)
    if device and device.type == "cuda" and faiss.get_num_gpus():
        number = torch.cuda.current_device() if device.index is None else device.index
        kmeans.index = faiss.index_cpu_to_gpu(faiss.StandardGpuResources(), number, kmeans.index)
    kmeans.train(frames_ND, init_centroids=first_KD)
    centres_KD: np.ndarray = kmeans.centroids
    return centres_KD


def fastest_kmeans(device: torch.device) -> str:
    """`faiss` if it is installed and can use this device, which is then a GPU. Otherwise `minibatch`."""
    if device.type != "cuda":
        return "minibatch"
    try:
        return "faiss" if load_faiss().get_num_gpus() else "minibatch"
    except InputError:
        return "minibatch"


def load_faiss() -> Any:
    """The library faiss, which takes as many threads as torch.

    Raises: InputError if it cannot be imported.
    """
    try:
        import faiss
    except ImportError as err:
        raise InputError(
            f"targets.kmeans: faiss: {err}; expected minibatch, or `pip install faiss-cpu` (faiss-gpu for a GPU)"
        ) from err
    # It is loaded after threads were limited, and has a pool of its own.
    faiss.omp_set_num_threads(torch.get_num_threads())
    return faiss


def assign(feats_TD: np.ndarray, centres_KD: np.ndarray) -> np.ndarray:
    """The index of the nearest centre of each frame, int16 (T,), or int32 if there are too many centres for that."""
    labels_T = np.empty(len(feats_TD), _id_type(centres_KD))
    for chunk, far_TK in _distances(feats_TD, centres_KD):
        labels_T[chunk] = np.argmin(far_TK, axis=1)
    return labels_T


def soft_assign(feats_TD: np.ndarray, centres_KD: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """The nearest centres of each frame (T, M), nearest first, and how much of the frame belongs to each (T, M).

    Shares are a softmax over the negative squared distances, divided by `scale`. They are in float16. Where there are
    fewer than `NEAREST` centres, the missing ones have a share of 0.
    """
    near_TM = np.zeros((len(feats_TD), NEAREST), _id_type(centres_KD))
    share_TM = np.zeros((len(feats_TD), NEAREST), np.float16)
    count = min(NEAREST, len(centres_KD))
    for chunk, far_TK in _distances(feats_TD, centres_KD):
        nearest_TM = np.argpartition(far_TK, count - 1, axis=1)[:, :count]
        far_TM = np.take_along_axis(far_TK, nearest_TM, axis=1)
        order_TM = far_TM.argsort(axis=1)
        near_TM[chunk, :count] = np.take_along_axis(nearest_TM, order_TM, axis=1)
        # What the table leaves out is the same for all centres, and a softmax does not see it.
        share_TM[chunk, :count] = softmax(-2 * np.take_along_axis(far_TM, order_TM, axis=1) / scale, axis=1)
    return near_TM, share_TM


def _distances(feats_TD: np.ndarray, centres_KD: np.ndarray) -> Iterator[tuple[slice, np.ndarray]]:
    """Half the squared distance of each frame to each centre (T, K), less what is the same for all centres.

    They come in chunks of frames, each with its place.
    """
    # Distances do not depend on the origin. With it at the mean of the centres, the square can be expanded into a
    # matrix product without a loss of digits.
    origin_D = centres_KD.mean(axis=0)
    moved_KD = centres_KD - origin_D
    half_squares_K = 0.5 * (moved_KD**2).sum(axis=1)
    for start in range(0, len(feats_TD), _CHUNK_FRAMES):
        chunk = slice(start, start + _CHUNK_FRAMES)
        yield chunk, half_squares_K - (feats_TD[chunk] - origin_D) @ moved_KD.T


def _id_type(centres_KD: np.ndarray) -> type[np.signedinteger]:
    return np.int16 if len(centres_KD) <= 2**15 else np.int32
