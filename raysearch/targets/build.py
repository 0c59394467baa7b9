"""Builds the label set of a corpus: features of a sample of cuts, k-means, then a label for every train and dev frame.

The features of the sample are held in memory (`fit_frames` x D floats). All others are held only while their batch is
labelled.
Shapes: T frames of a cut, N frames of the sample, D features.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from lhotse import CutSet
from lhotse.cut import MonoCut
from threadpoolctl import threadpool_limits

from raysearch.corpora.batches import AudioStore, Batch, evaluation_batches
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import FIRST_SAMPLE
from raysearch.errors import InputError
from raysearch.targets.features import MFCC_HOP_SAMPLES, Features, mfcc_features, resolve_layer, teacher_features
from raysearch.targets.kmeans import assign, fastest_kmeans, fit_clusters, load_faiss, sample_cuts, soft_assign
from raysearch.targets.label_set import LabelKey, LabelSet, write_label_set
from raysearch.targets.quality import inertia, probe_per, usage
from raysearch.targets.settings import TargetSettings
from raysearch.targets.store import LabelStore
from raysearch.training.monitoring.progress import counted, tell

if TYPE_CHECKING:
    from raysearch.encoder.teacher import Teacher

_log = logging.getLogger(__name__)

# The probe wants labels at 50 Hz or less, so faster ones are thinned out for it.
_PROBE_HOP_SAMPLES = 320


def label_key(
    settings: TargetSettings, teacher: Teacher | None, corpus: Corpus, store: LabelStore, device: torch.device
) -> LabelKey:
    """The key under which the label set of these settings is stored, or will be once it is made on this device.

    Layer -1 and the number of the last block give the same key.
    Raises: InputError if a teacher is needed and there is none, or if it has no such layer.
    """
    teacher_key, layer = "", 0
    if settings.source == "teacher":
        teacher = _needed(teacher)
        teacher_key, layer = teacher.key, resolve_layer(settings.layer, teacher.encoder.config.depth)
    key = LabelKey(
        source=settings.source,
        teacher=teacher_key,
        layer=layer,
        clusters=settings.clusters,
        seed=settings.seed,
        fit_frames=settings.fit_frames,
        corpus=corpus.fingerprint,
        normalise=settings.normalise,
        soft=settings.soft,
    )
    return replace(key, kmeans=_fitted_by(settings, key, store, device))


def _fitted_by(settings: TargetSettings, key: LabelKey, store: LabelStore, device: torch.device) -> str:
    if settings.kmeans != "auto":
        return settings.kmeans
    # A trial that is resumed on another machine must go on with the labels that it had.
    for name in ("minibatch", "faiss"):
        if store.folders.get(replace(key, kmeans=name).digest):
            return name
    return fastest_kmeans(device)


def _needed(teacher: Teacher | None) -> Teacher:
    if teacher is None:
        raise InputError("targets.source: teacher; expected mfcc, since there is no teacher")
    return teacher


def build_label_set(
    settings: TargetSettings,
    teacher: Teacher | None,
    corpus: Corpus,
    audio_store: AudioStore,
    store: LabelStore,
    device: torch.device,
    batch_s: float,
) -> LabelSet:
    """The label set of `corpus`, from the store if it is there.

    Clusters are fitted on train and label both train and dev. The teacher runs on `device`, on batches of at most
    `batch_s` seconds, padding included.
    Raises: InputError if the layer does not exist, there are more clusters than frames, or faiss is asked for and not
    installed.
    """
    key = label_key(settings, teacher, corpus, store, device)
    features: Callable[[Iterable[Batch]], Features] = mfcc_features
    hop_samples, first_sample = MFCC_HOP_SAMPLES, FIRST_SAMPLE
    if settings.source == "teacher":
        encoder = _needed(teacher).encoder.to(device)
        features = partial(teacher_features, encoder, settings.layer)
        hop_samples, first_sample = encoder.config.hop_samples, encoder.config.first_sample

    def read(cuts: Iterable[MonoCut]) -> Features:
        return features(evaluation_batches(CutSet.from_cuts(cuts), audio_store, batch_s))

    # Unless told otherwise, k-means takes a thread for each core. Where workers share a machine, these spin against
    # each other.
    with threadpool_limits(torch.get_num_threads()):
        build = partial(_build, key=key, corpus=corpus, hop_samples=hop_samples, first_sample=first_sample)
        return store.get_or_build(key, partial(build, read=read, device=device))


def _build(
    folder: Path,
    *,
    key: LabelKey,
    corpus: Corpus,
    hop_samples: int,
    first_sample: int,
    read: Callable[[Iterable[MonoCut]], Features],
    device: torch.device,
) -> None:
    if key.kmeans == "faiss":
        load_faiss()  # where it is missing, this is said before the teacher hears anything
    train, dev = corpus.splits["train"], corpus.splits["dev"]
    sampled = sample_cuts({cut.id: cut.num_samples // hop_samples for cut in train}, key.fit_frames, key.seed)
    sample = dict(counted(read(train[cut] for cut in sampled), "label set: sample", len(sampled)))
    frames_ND = np.concatenate([sample[cut] for cut in sampled])
    # Each cut's features are let go as they are counted: the joined array is a copy of them.
    ends = np.cumsum([len(sample.pop(cut)) for cut in sampled])
    normalise = _normaliser(frames_ND) if key.normalise else _unchanged
    frames_ND = normalise(frames_ND)
    _log.info("label set %s: k-means of %d frames into %d by %s", key.digest, len(frames_ND), key.clusters, key.kmeans)
    tell("label set: k-means", 0, key.clusters, "clusters")
    centres_KD = fit_clusters(frames_ND, key.clusters, key.seed, key.kmeans, device)
    labels_N = assign(frames_ND, centres_KD)
    quality = {"fit_frames": float(len(frames_ND)), "inertia": inertia(frames_ND, centres_KD, labels_N)}
    label = partial(_labelled, centres_KD=centres_KD, scale=key.soft * quality["inertia"])
    parts = [np.split(part, ends[:-1]) for part in label(frames_ND)]
    # The sample is by far the largest thing in memory, and all it was kept for is done.
    del frames_ND
    found = dict(zip(sampled, zip(*parts, strict=True), strict=True))
    rest = [cut for split in (train, dev) for cut in split if cut.id not in found]
    heard = counted(read(rest), "label set: labels", len(rest))
    found.update((cut, label(normalise(feats_TD))) for cut, feats_TD in heard)
    labels = {cut: own[0] for cut, own in found.items()}
    quality |= usage(np.concatenate([labels[cut.id] for cut in train]), key.clusters)
    train_phones, dev_phones = _phones(train), _phones(dev)
    if train_phones and dev_phones:
        stride = max(1, _PROBE_HOP_SAMPLES // hop_samples)
        slower = {cut: labels_T[::stride] for cut, labels_T in labels.items()}
        quality["probe_per"] = probe_per(slower, key.clusters, train_phones, dev_phones, key.seed)
    _log.info("label set %s: %s", key.digest, ", ".join(f"{name} {value:.4g}" for name, value in quality.items()))
    soft = {cut: own[1:] for cut, own in found.items()}
    write_label_set(folder, key, hop_samples, labels, quality, soft, first_sample)


def _labelled(feats_TD: np.ndarray, centres_KD: np.ndarray, scale: float) -> tuple[np.ndarray, ...]:
    """The label of each frame (T). With a scale also its nearest clusters (T, M) and their shares (T, M)."""
    labels_T = assign(feats_TD, centres_KD)
    return (labels_T, *soft_assign(feats_TD, centres_KD, scale)) if scale else (labels_T,)


def _unchanged(feats_TD: np.ndarray) -> np.ndarray:
    return feats_TD


def _normaliser(frames_ND: np.ndarray) -> Callable[[np.ndarray], np.ndarray]:
    """A function that brings each feature to the mean 0 and the variance 1 that it has over these frames."""
    mean_D, std_D = frames_ND.mean(axis=0, dtype=np.float64), frames_ND.std(axis=0, dtype=np.float64)
    # A feature that never changes stays 0, and not what rounding would make of it.
    mean_D, scale_D = mean_D.astype(np.float32), (1 / np.maximum(std_D, 1e-5)).astype(np.float32)
    return lambda feats_TD: (feats_TD - mean_D) * scale_D


def _phones(cuts: CutSet) -> Mapping[str, list[str]]:
    """The phones of each cut that has any, by the id of the cut."""
    known = {cut.id: (cut.supervisions[0].custom or {}).get("phones") for cut in cuts}
    return {cut: phones for cut, phones in known.items() if phones}
