"""Clusters of whole cuts: k-means against one of our own, quality against known partitions, limits on K."""

from __future__ import annotations

import logging
from dataclasses import replace

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from sklearn.cluster import KMeans

from raysearch.corpora.batches import AudioStore, UnreadableError, _read, _source, evaluation_batches
from raysearch.corpora.pieces import in_pieces, piece_count
from raysearch.errors import InputError
from raysearch.targets.features import teacher_features
from raysearch.targets.partition import agreement, describe
from raysearch.targets.pseudo_labels import build_pseudo_labels, check_clusters, cluster, embed, embed_pieces
from raysearch.targets.settings import PseudoLabelSettings
from raysearch.targets.store import FolderStore

PLAIN = PseudoLabelSettings(pca=0, l2=False, clusters=4, restarts=3, iterations=100)
CPU = torch.device("cpu")


def blobs(seed=0, count=50, spread=0.1):
    """Four classes around the corners of a square, far from their spread."""
    rng = np.random.default_rng(seed)
    truth_N = rng.integers(4, size=count)
    centres_KD = np.array([[0, 0], [0, 5], [5, 0], [5, 5]], dtype=float)
    return centres_KD[truth_N] + spread * rng.standard_normal((count, 2)), truth_N


def lloyd(points_ND, centres_KD, iterations=100):
    """Textbook k-means; the inertia at its end."""
    for _ in range(iterations):
        squares_NK = ((points_ND[:, None] - centres_KD) ** 2).sum(-1)
        labels_N = squares_NK.argmin(1)
        centres_KD = np.stack([points_ND[labels_N == k].mean(0) for k in range(len(centres_KD))])
    return ((points_ND - centres_KD[labels_N]) ** 2).sum()


def test_kmeans_from_the_same_start_then_the_inertia_of_lloyd():
    points_ND = np.random.default_rng(0).standard_normal((200, 3))
    start_KD = points_ND[:5]
    kmeans = KMeans(5, init=start_KD, n_init=1, max_iter=100, tol=0).fit(points_ND)
    assert kmeans.inertia_ == pytest.approx(lloyd(points_ND, start_KD), rel=1e-6)


def test_cluster_then_the_same_for_the_same_seed_and_all_blobs_found():
    points_ND, truth_N = blobs()
    one, other = cluster(points_ND, PLAIN), cluster(points_ND, PLAIN)
    assert np.array_equal(one, other)
    assert agreement(truth_N, one) == {"nmi": pytest.approx(1), "ari": 1, "purity": 1}


@pytest.mark.parametrize("changed", [{"pca": 2}, {"pca": 64, "whiten": False}, {"pca": 2, "whiten": True, "l2": True}])
def test_components_then_at_most_as_many_as_features(changed):
    points_ND, _ = blobs()
    assert len(np.unique(cluster(points_ND, PLAIN.model_copy(update=changed)))) == 4


def test_quality_then_free_of_the_clusters_names():
    points_ND, truth_N = blobs(spread=2)
    labels_N = cluster(points_ND, PLAIN)
    assert agreement(truth_N, np.array([2, 0, 3, 1])[labels_N]) == agreement(truth_N, labels_N)


def test_purity_of_many_clusters_then_no_better_than_random_ones():
    rng = np.random.default_rng(0)
    classes = [str(one) for one in rng.integers(2, size=60)]
    found = describe(np.arange(60) % 50, 50, classes)
    assert found["purity"] > 0.85
    assert found["purity"] == pytest.approx(found["purity_random"], abs=0.05)
    assert abs(found["ari_random"]) < 0.02


def test_sizes_and_entropy_of_equal_clusters():
    found = describe(np.array([0, 0, 1, 1, 2, 2]), 4, [None] * 6)
    assert found == {"smallest": 0, "largest": 2, "entropy": pytest.approx(np.log(3))}


def test_more_clusters_than_cuts_is_refused():
    with pytest.raises(InputError, match=r"targets\.clusters: 11; expected at most 10, one for each training cut"):
        check_clusters(11, 10)


@pytest.mark.parametrize(("clusters", "warned"), [(10, False), (11, True)])
def test_fewer_than_39_cuts_a_cluster_is_warned_of(caplog, clusters, warned):
    with caplog.at_level(logging.WARNING):
        check_clusters(clusters, 390)
    assert ("at most 10 clusters" in caplog.text) == warned


def test_built_once_then_shared_and_every_training_cut_has_a_label(tones, small_teacher, tmp_path, monkeypatch):
    settings = PseudoLabelSettings(clusters=3, window_s=0.5, windows=2, segments=2, pooling="mean+max", pca=4)
    store = FolderStore(tmp_path)
    found = build_pseudo_labels(settings, small_teacher, tones, store, CPU, 10.0)
    assert set(found.labels) == {cut.id for cut in tones.splits["train"]}
    assert set(found.labels.values()) <= {0, 1, 2}
    monkeypatch.setattr("raysearch.targets.pseudo_labels.embed", None)
    assert build_pseudo_labels(settings, small_teacher, tones, store, CPU, 10.0) == found
    assert len(store.ls()) == 1


def test_pieces_then_a_label_for_each(tones, small_teacher, tmp_path):
    settings = PseudoLabelSettings(clusters=4, piece_s=0.25, pca=4)
    found = build_pseudo_labels(settings, small_teacher, tones, FolderStore(tmp_path), CPU, 10.0)
    assert set(found.labels) == {piece.id for piece in in_pieces(tones, 0.25).splits["train"]}
    assert len(found.labels) > len(tones.splits["train"])


def test_embedded_pieces_then_each_is_pooled_from_its_own_frames_of_the_whole_cut(tones, small_teacher):
    cuts = list(tones.splits["train"])[:3]
    settings = PseudoLabelSettings(piece_s=0.25)
    found = embed_pieces(settings, small_teacher, cuts, evaluation_batches(cuts, tones.audio, 10.0))
    feats = dict(teacher_features(small_teacher.encoder, -1, evaluation_batches(cuts, tones.audio, 10.0)))
    assert len(found) == sum(piece_count(cut, 0.25) for cut in cuts)
    for cut in cuts:
        last, feats_TD = piece_count(cut, 0.25) - 1, feats[cut.id]
        edge = len(feats_TD) / (last + 1)
        np.testing.assert_allclose(found[f"{cut.id}:0"], feats_TD[: int(edge)].mean(0), rtol=1e-5, atol=1e-6)
        own_TD = feats_TD[int(last * edge) :]
        np.testing.assert_allclose(found[f"{cut.id}:{last}"], own_TD.mean(0), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("piece_s", [0, 0.25])
def test_recording_that_cannot_be_read_after_all_then_it_has_no_label(tones, small_teacher, tmp_path, piece_s):
    def read(cut):
        if _source(cut).endswith("train0.wav"):
            raise UnreadableError(cut.id)
        return _read(cut)

    corpus = replace(tones, audio=AudioStore(read=read))
    settings = PseudoLabelSettings(clusters=3, pca=4, piece_s=piece_s)
    found = build_pseudo_labels(settings, small_teacher, corpus, FolderStore(tmp_path), CPU, 10.0)
    wanted = {cut.id for cut in in_pieces(tones, piece_s).splits["train"]}
    assert wanted - set(found.labels) == {cut for cut in wanted if cut.partition(":")[0] == "train0"}


@pytest.mark.parametrize("piece_s", [0.1, -1])
def test_pieces_of_no_frames_are_refused(piece_s):
    with pytest.raises(ValidationError, match="piece_s"):
        PseudoLabelSettings(piece_s=piece_s)


def test_windows_then_free_of_what_a_cut_is_batched_with(tones, small_teacher):
    settings, cuts = PseudoLabelSettings(window_s=0.5), list(tones.splits["train"])
    one, other = (
        embed(settings, small_teacher, evaluation_batches(cuts, tones.audio, batch_s)) for batch_s in (1.0, 50.0)
    )
    assert one.keys() == other.keys()
    for cut, found_D in one.items():
        np.testing.assert_allclose(found_D, other[cut], rtol=1e-4, atol=1e-5)
