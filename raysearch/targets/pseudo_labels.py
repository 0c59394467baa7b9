"""Pseudo-labels as in UnFuSeD: one cluster id for each training cut, from a teacher's pooled features.

Windows of a cut are embedded and averaged, or each piece of a cut is embedded. Embeddings are projected, whitened,
scaled to length 1 and clustered.

Shapes: N cuts or pieces, T frames, D features, K clusters.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lhotse.cut import MonoCut
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.preprocessing import normalize
from threadpoolctl import threadpool_limits

from raysearch.corpora.batches import Batch, evaluation_batches
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.pieces import in_pieces, piece_count, piece_id
from raysearch.corpora.windows import windowed
from raysearch.errors import InputError
from raysearch.files.digest import content_digest
from raysearch.targets.features import teacher_features
from raysearch.targets.partition import describe
from raysearch.targets.settings import POINTS_PER_CLUSTER, PseudoLabelSettings
from raysearch.targets.store import FolderStore
from raysearch.training.monitoring.progress import tell

if TYPE_CHECKING:
    from raysearch.encoder.teacher import Teacher

_log = logging.getLogger(__name__)

_DOCUMENT = "pseudo_labels.json"


@dataclass(frozen=True)
class PseudoLabels:
    """The pseudo-labels of a training split, and how good they are."""

    clusters: int
    labels: Mapping[str, int]
    """Cluster of every training cut that can be read, or of every piece of one, by id."""
    quality: Mapping[str, float]
    """Sizes of clusters and, if the corpus has classes, agreement with them: see `raysearch.targets.partition`."""


def pseudo_label_digest(settings: PseudoLabelSettings, teacher: Teacher, corpus: Corpus) -> str:
    """The name of the pseudo-labels in their store, 16 hexadecimal digits."""
    return content_digest("\n".join([settings.model_dump_json(), teacher.key, corpus.fingerprint]))


def build_pseudo_labels(
    settings: PseudoLabelSettings,
    teacher: Teacher,
    corpus: Corpus,
    store: FolderStore,
    device: torch.device,
    batch_s: float,
) -> PseudoLabels:
    """The pseudo-labels of the training split, from the store if they are there.

    Raises: InputError if the layer does not exist or there are more clusters than cuts.
    """
    check_clusters(settings.clusters, sum(piece_count(cut, settings.piece_s) for cut in corpus.splits["train"]))
    build = partial(_build, settings=settings, teacher=teacher, corpus=corpus, device=device, batch_s=batch_s)
    folder = store.get_or_build(pseudo_label_digest(settings, teacher, corpus), build)
    document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
    return PseudoLabels(settings.clusters, document["labels"], document["quality"])


def check_clusters(clusters: int, cuts: int) -> None:
    """Warns if there are too few cuts for each cluster.

    Raises: InputError if there are more clusters than cuts.
    """
    if clusters > cuts:
        raise InputError(f"targets.clusters: {clusters}; expected at most {cuts}, one for each training cut")
    if clusters * POINTS_PER_CLUSTER > cuts:
        few = f"{cuts / clusters:.1f} cuts a cluster; at least {POINTS_PER_CLUSTER} are advised"
        _log.warning("targets.clusters: %d: %s, that is at most %d clusters", clusters, few, cuts // POINTS_PER_CLUSTER)


def cluster(points_ND: np.ndarray, settings: PseudoLabelSettings) -> np.ndarray:
    """The cluster of each point (N,). The same points in the same order and the same settings give the same."""
    if settings.pca:
        size = min(settings.pca, *points_ND.shape)
        points_ND = PCA(size, whiten=settings.whiten, random_state=settings.seed).fit_transform(points_ND)
    if settings.l2:
        points_ND = normalize(points_ND)
    kmeans = KMeans(
        settings.clusters, n_init=settings.restarts, max_iter=settings.iterations, random_state=settings.seed
    )
    labels_N: np.ndarray = kmeans.fit_predict(points_ND)
    return labels_N


def embed(settings: PseudoLabelSettings, teacher: Teacher, batches: Iterable[Batch]) -> dict[str, np.ndarray]:
    """The embedding of each cut, float32 (D), by the id of the cut: the mean of the pooled features of its windows."""
    sums: dict[str, np.ndarray] = {}
    for batch in batches:
        views = (_view(settings, batch, number) for number in range(settings.windows))
        for cut, feats_TD in teacher_features(teacher.encoder, settings.layer, views):
            sums[cut] = sums.get(cut, 0) + _pool(settings, feats_TD)
    return {cut: (sum_D / settings.windows).astype(np.float32) for cut, sum_D in sums.items()}


def embed_pieces(
    settings: PseudoLabelSettings, teacher: Teacher, cuts: Iterable[MonoCut], batches: Iterable[Batch]
) -> dict[str, np.ndarray]:
    """The embedding of each piece, float32 (D), by the id of the piece.

    The teacher hears the whole cut, and then the frames of each piece are pooled.
    """
    counts = {cut.id: piece_count(cut, settings.piece_s) for cut in cuts}
    return {
        piece_id(cut, number): _pool(settings, feats_TD[span]).astype(np.float32)
        for cut, feats_TD in teacher_features(teacher.encoder, settings.layer, batches)
        for number, span in enumerate(_spans(len(feats_TD), counts[cut]))
    }


def _view(settings: PseudoLabelSettings, batch: Batch, number: int) -> Batch:
    seeds = [settings.seed, number]
    # Each cut draws for itself, so that its window does not depend on the other cuts of its batch.
    starts = [np.random.default_rng([*seeds, *cut.id.encode()]).random() for cut in batch.cuts]
    return windowed(batch, settings.window_s, starts)


def _pool(settings: PseudoLabelSettings, feats_TD: np.ndarray) -> np.ndarray:
    spans = _spans(len(feats_TD), settings.segments)
    pooled = {"mean": [feats_TD[span].mean(0) for span in spans], "max": [feats_TD[span].max(0) for span in spans]}
    return np.concatenate([part for name in settings.pooling.split("+") for part in pooled[name]])


def _spans(frames: int, count: int) -> list[slice]:
    """Equal stretches of the frames. Each has at least one, even if there are fewer frames than stretches."""
    edges = np.linspace(0, frames, count + 1)
    return [slice(int(low), max(int(low) + 1, int(high))) for low, high in pairwise(edges)]


def _build(
    folder: Path,
    *,
    settings: PseudoLabelSettings,
    teacher: Teacher,
    corpus: Corpus,
    device: torch.device,
    batch_s: float,
) -> None:
    teacher.encoder.to(device)
    cuts = corpus.splits["train"]
    batches = _told(evaluation_batches(cuts, corpus.audio, batch_s), len(cuts))
    if settings.piece_s:
        points = embed_pieces(settings, teacher, cuts, batches)
    else:
        points = embed(settings, teacher, batches)
    # Cuts that could not be read after all have no features. Training leaves them out too.
    pieces = [piece for piece in in_pieces(corpus, settings.piece_s).splits["train"] if piece.id in points]
    points_ND = np.stack([points[piece.id] for piece in pieces])
    # Unless told otherwise, k-means takes a thread for each core. Where workers share a machine, these spin against
    # each other.
    tell("pseudo-labels: k-means", 0, settings.clusters, "clusters")
    with threadpool_limits(torch.get_num_threads()):
        labels_N = cluster(points_ND, settings)
    quality = describe(labels_N, settings.clusters, list(_classes(pieces)))
    _log.info("pseudo-labels: %s", ", ".join(f"{name} {value:.4g}" for name, value in quality.items()))
    labels = {piece.id: int(label) for piece, label in zip(pieces, labels_N, strict=True)}
    (folder / _DOCUMENT).write_text(json.dumps({"labels": labels, "quality": quality}), encoding="utf-8")


def _told(batches: Iterable[Batch], cuts: int) -> Iterator[Batch]:
    """The batches; of their cuts it is told how many have been heard."""
    done = 0
    for batch in batches:
        tell("pseudo-labels", done, cuts, "cuts")
        yield batch
        done += len(batch.cuts)


def _classes(cuts: Iterable[MonoCut]) -> Iterator[str | None]:
    """The class of each cut: its label or its intent. None if the corpus does not tell it."""
    for cut in cuts:
        custom = cut.supervisions[0].custom or {}
        own = custom.get("label", custom.get("intent"))
        yield None if own is None else f"{custom.get('corpus', '')}/{own}"
