"""Batches for masked prediction: audio, labels on the student's frames, and masks.

Shapes: B batch, S samples, T frames, G label sets, M nearest clusters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoder
from raysearch.methods.labels.masking import span_frames, span_mask
from raysearch.methods.labels.prediction import PADDING
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.targets.align import align_frames
from raysearch.targets.label_set import NEAREST, LabelSet
from raysearch.training.process import generator


class LabelledBatches:
    """Prepares batches for `MaskedPrediction`: audio, labels on the student's frames, and a new mask every time."""

    def __init__(
        self,
        student: Encoder,
        label_set: LabelSet,
        settings: PredictionSettings,
        seed: int,
        more: Sequence[LabelSet] = (),
    ) -> None:
        """`more` are the label sets beside the first."""
        self._config = student.config
        self._frames = student.frames
        self._label_sets = [label_set, *more]
        self._settings = settings
        self._span = span_frames(settings.mask_ms, student.config.frame_hz)
        self._seed = seed

    def __call__(self, step: int, batch: Batch) -> dict[str, Tensor]:
        frames = [int(self._frames(int(samples))) for samples in batch.samples_B]
        width = max(frames)
        labels_BT, *more = (self._labels(label_set, batch, frames) for label_set in self._label_sets)
        # The draw depends on the batch's number alone, so a resumed trial masks as an uninterrupted one.
        rng = generator(self._seed, batch.number)
        mask_BT = span_mask(np.array(frames), width, self._settings.mask_prob, self._span, rng)
        return {
            "audio_BS": batch.audio_BS,
            "samples_B": batch.samples_B,
            "labels_BT": labels_BT,
            "mask_BT": torch.from_numpy(mask_BT),
            **({"more_GBT": torch.stack(more)} if more else {}),
            **(self._soft(batch, frames) if self._label_sets[0].key.soft else {}),
        }

    def _labels(self, label_set: LabelSet, batch: Batch, frames: Sequence[int]) -> Tensor:
        """The labels of a batch (B, T), on the student's frames."""
        labels_BT = np.full((len(frames), max(frames)), PADDING)
        for labels_T, cut, count in zip(labels_BT, batch.cuts, frames, strict=True):
            labels_T[:count] = self._aligned(label_set.labels(cut.id), label_set, count)
        return torch.from_numpy(labels_BT)

    def _soft(self, batch: Batch, frames: Sequence[int]) -> dict[str, Tensor]:
        """The nearest clusters of each frame and their shares, for every label set, on the student's frames."""
        shape = (len(self._label_sets), len(frames), max(frames), NEAREST)
        near_GBTM, share_GBTM = np.zeros(shape, np.int64), np.zeros(shape, np.float32)
        for place, label_set in enumerate(self._label_sets):
            for row, (cut, count) in enumerate(zip(batch.cuts, frames, strict=True)):
                near_TM, share_TM = label_set.soft_labels(cut.id)
                near_GBTM[place, row, :count] = self._aligned(near_TM, label_set, count)
                share_GBTM[place, row, :count] = self._aligned(share_TM, label_set, count)
        return {"near_GBTM": torch.from_numpy(near_GBTM), "share_GBTM": torch.from_numpy(share_GBTM)}

    def _aligned(self, own: np.ndarray, label_set: LabelSet, count: int) -> np.ndarray:
        later = self._config.first_sample - label_set.first_sample
        return align_frames(own, label_set.hop_samples, self._config.hop_samples, count, later)
