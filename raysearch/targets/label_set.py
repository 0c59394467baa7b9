"""A label set: what it was made from, and one cluster id for each frame of every train and dev cut.

On disk it is a folder with two files. `label_set.json` holds key, hop, quality and the number of frames of each cut, in
order. `labels.npy` holds all labels in one array, which is memory-mapped when it is read. Soft labels have two more
such arrays: `near.npy` holds the nearest clusters of each frame, `shares.npy` how much of the frame belongs to each.

Shapes: T frames of a cut, N frames of all cuts, K clusters, M nearest clusters.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import accumulate
from pathlib import Path

import numpy as np

from raysearch.encoder.config import FIRST_SAMPLE
from raysearch.errors import WorkError
from raysearch.files.digest import document_digest

_DOCUMENT, _LABELS = "label_set.json", "labels.npy"
_NEAR, _SHARES = "near.npy", "shares.npy"
NEAREST = 4
"""Number M of the clusters to which a frame belongs if its labels are soft."""


@dataclass(frozen=True)
class LabelKey:
    """Everything that decides the labels. Equal keys mean equal labels, wherever and whenever they were built."""

    source: str
    """Features that are clustered: `teacher` or `mfcc`."""
    teacher: str
    """Hash of the teacher's weights. It is empty for MFCCs."""
    layer: int
    """Teacher's block whose output is clustered, counted from 1. It is 0 for MFCCs."""
    clusters: int
    seed: int
    fit_frames: int
    corpus: str
    """Fingerprint of the corpus."""
    normalise: bool = False
    """Whether each feature was brought to mean 0 and variance 1 before it was clustered."""
    soft: float = 0.0
    """How soft the labels are, as in the settings. With 0 each frame has one label."""
    kmeans: str = "minibatch"
    """What fitted the clusters: `minibatch` or `faiss`."""

    @property
    def digest(self) -> str:
        """The name of the label set in its store, 16 hexadecimal digits."""
        document = asdict(self)
        # These came later. Where they are as they were before, label sets keep the names that they had.
        for name in ("normalise", "soft", "kmeans"):
            if document[name] == getattr(LabelKey, name):
                del document[name]
        return document_digest(document)


@dataclass(frozen=True)
class LabelSet:
    """The labels of a corpus, with their key, rate and quality."""

    key: LabelKey
    hop_samples: int
    """Samples from one label to the next."""
    quality: Mapping[str, float]
    """Figures that tell a useful set from a useless one, as `raysearch.targets.quality` explains them."""
    labels_N: np.ndarray
    spans: Mapping[str, slice]
    """Place of each cut's labels in `labels_N`, by the id of the cut."""
    near_NM: np.ndarray | None = None
    """The nearest clusters of each frame, nearest first. None if labels are not soft."""
    share_NM: np.ndarray | None = None
    """How much of each frame belongs to each of these clusters."""
    numbers_K: np.ndarray | None = None
    """Numbers that take the place of the clusters' own. None leaves these."""
    first_sample: int = FIRST_SAMPLE
    """The sample on which the first label of a cut is centred."""

    def document(self) -> dict[str, object]:
        """Digest, key, rate and quality in one flat mapping, for JSON."""
        return {"digest": self.key.digest, **asdict(self.key), "hop_samples": self.hop_samples, **self.quality}

    @property
    def clusters(self) -> int:
        """Number of clusters K."""
        return self.key.clusters

    def labels(self, cut_id: str) -> np.ndarray:
        """The cluster ids of a cut's frames, (T,). Raises: KeyError if the cut is neither in train nor in dev."""
        return self._numbered(self.labels_N[self.spans[cut_id]])

    def soft_labels(self, cut_id: str) -> tuple[np.ndarray, np.ndarray]:
        """The nearest clusters of a cut's frames (T, M), and how much of each frame belongs to each (T, M).

        Raises: KeyError if the cut is neither in train nor in dev.
        """
        assert self.near_NM is not None
        assert self.share_NM is not None
        return self._numbered(self.near_NM[self.spans[cut_id]]), self.share_NM[self.spans[cut_id]]

    def _numbered(self, ids: np.ndarray) -> np.ndarray:
        return ids if self.numbers_K is None else self.numbers_K[ids]


def write_label_set(
    folder: Path,
    key: LabelKey,
    hop_samples: int,
    labels: Mapping[str, np.ndarray],
    quality: Mapping[str, float],
    soft: Mapping[str, Sequence[np.ndarray]] | None = None,
    first_sample: int = FIRST_SAMPLE,
) -> None:
    """Writes a label set into `folder`, which exists. `labels` holds the labels of each cut by its id.

    `soft` holds the nearest clusters of each cut's frames and their shares, if labels are soft.
    """
    if soft and key.soft:
        for place, name in enumerate((_NEAR, _SHARES)):
            np.save(folder / name, np.concatenate([soft[cut_id][place] for cut_id in labels]), allow_pickle=False)
    np.save(folder / _LABELS, np.concatenate(list(labels.values())), allow_pickle=False)
    document = {
        "key": asdict(key),
        "hop_samples": hop_samples,
        "first_sample": first_sample,
        "quality": dict(quality),
        "frames": {cut_id: len(labels_T) for cut_id, labels_T in labels.items()},
    }
    (folder / _DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


def read_label_set(folder: Path) -> LabelSet:
    """The label set in `folder`. Its labels are read from disk when they are asked for.

    Raises: WorkError if a file is missing, torn or not what it should be.
    """
    try:
        document = json.loads((folder / _DOCUMENT).read_text(encoding="utf-8"))
        labels_N = np.load(folder / _LABELS, mmap_mode="r", allow_pickle=False)
        ends = list(accumulate(document["frames"].values()))
        if len(labels_N) != ends[-1]:
            raise ValueError(f"{len(labels_N)} labels for {ends[-1]} frames")
        spans = {cut: slice(start, end) for cut, start, end in zip(document["frames"], [0, *ends], ends, strict=False)}
        key = LabelKey(**document["key"])
        soft = [np.load(folder / name, mmap_mode="r", allow_pickle=False) for name in (_NEAR, _SHARES) if key.soft]
        if any(len(found) != len(labels_N) for found in soft):
            raise ValueError(f"soft labels for another number of frames than {len(labels_N)}")
        # Sets that do not say it were made before there were frames that are centred elsewhere.
        first_sample = document.get("first_sample", FIRST_SAMPLE)
        labelled = LabelSet(key, document["hop_samples"], document["quality"], labels_N, spans, *soft)
        return replace(labelled, first_sample=first_sample)
    except (OSError, EOFError, ValueError, KeyError, TypeError, IndexError) as err:
        raise WorkError(f"label set {folder} is unreadable ({err}); delete the folder and it is built again") from err
