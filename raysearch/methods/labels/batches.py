"""Batches for masked prediction: audio, labels on the student's frames, and masks.

Shapes: B batch, S samples, T frames.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoder
from raysearch.methods.labels.masking import span_frames, span_mask
from raysearch.methods.labels.prediction import PADDING
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.targets.align import align_frames
from raysearch.targets.label_set import LabelSet
from raysearch.training.process import generator


class LabelledBatches:
    """Prepares batches for `MaskedPrediction`: audio, labels on the student's frames, and a new mask every time."""

    def __init__(self, student: Encoder, label_set: LabelSet, settings: PredictionSettings, seed: int) -> None:
        self._config = student.config
        self._frames = student.frames
        self._label_set = label_set
        self._settings = settings
        self._span = span_frames(settings.mask_ms, student.config.frame_hz)
        self._seed = seed

    def __call__(self, step: int, batch: Batch) -> dict[str, Tensor]:
        frames = [int(self._frames(int(samples))) for samples in batch.samples_B]
        width = max(frames)
        hops = self._label_set.hop_samples, self._config.hop_samples
        later = self._config.first_sample - self._label_set.first_sample
        labels_BT = np.full((len(frames), width), PADDING)
        for labels_T, cut, count in zip(labels_BT, batch.cuts, frames, strict=True):
            own_T = self._label_set.labels(cut.id)
            labels_T[:count] = align_frames(own_T, *hops, count, later)
        # The draw depends on the batch's number alone, so a resumed trial masks as an uninterrupted one.
        rng = generator(self._seed, batch.number)
        mask_BT = span_mask(np.array(frames), width, self._settings.mask_prob, self._span, rng)
        return {
            "audio_BS": batch.audio_BS,
            "samples_B": batch.samples_B,
            "labels_BT": torch.from_numpy(labels_BT),
            "mask_BT": torch.from_numpy(mask_BT),
        }
