"""A label set: what it was made from, and one cluster id for each frame of every train and dev cut.

On disk it is a folder with two files. `label_set.json` holds key, hop, quality and the number of frames of each cut, in
order. `labels.npy` holds all labels in one array, which is memory-mapped when it is read.

Shapes: T frames of a cut, N frames of all cuts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import accumulate
from pathlib import Path

import numpy as np

from raysearch.encoder.config import FIRST_SAMPLE
from raysearch.errors import WorkError
from raysearch.files.digest import document_digest

_DOCUMENT, _LABELS = "label_set.json", "labels.npy"


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

    @property
    def digest(self) -> str:
        """The name of the label set in its store, 16 hexadecimal digits."""
        return document_digest(asdict(self))


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
        return self.labels_N[self.spans[cut_id]]


def write_label_set(
    folder: Path,
    key: LabelKey,
    hop_samples: int,
    labels: Mapping[str, np.ndarray],
    quality: Mapping[str, float],
    first_sample: int = FIRST_SAMPLE,
) -> None:
    """Writes a label set into `folder`, which exists. `labels` holds the labels of each cut by its id."""
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
        # Sets that do not say it were made before there were frames that are centred elsewhere.
        first_sample = document.get("first_sample", FIRST_SAMPLE)
        return LabelSet(key, document["hop_samples"], document["quality"], labels_N, spans, first_sample)
    except (OSError, ValueError, KeyError, TypeError, IndexError) as err:
        raise WorkError(f"label set {folder} is unreadable ({err}); delete the folder and it is built again") from err
