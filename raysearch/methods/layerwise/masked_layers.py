"""Masking distillation: every block of a student predicts a block of the teacher, of speech that is partly masked.

Shapes: B batch, S samples, T student frames, D student width, U frames of a front end, L layers, W teacher width.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.frames import frames, valid_mask
from raysearch.methods.features.regression import TeacherBatches
from raysearch.methods.labels.masking import span_frames, span_mask
from raysearch.methods.layerwise.settings import MaskedLayersSettings
from raysearch.targets.kept_layer import Grid
from raysearch.training.loss_module import LossModule
from raysearch.training.process import generator


class MaskedLayers(LossModule):
    """A student with a linear head on each block, which predicts the hidden states of one of the teacher's blocks.

    The loss is the mean squared difference at masked frames, and the same at the others, each divided by all frames.
    Source: Jang et al., ARMHuBERT, Interspeech 2023, section 2.2.
    """

    def __init__(self, student: Encoder, teacher_width: int, settings: MaskedLayersSettings) -> None:
        super().__init__()
        self.student = student
        self.settings = settings
        width = student.config.width
        self.heads = nn.ModuleList(nn.Linear(width, teacher_width) for _ in range(student.config.depth))
        # Without masking there is no such parameter, because it would never get a gradient.
        self.mask_D = nn.Parameter(torch.rand(width)) if settings.mask_prob else None

    def counts(self, audio_BS: Tensor, samples_B: Tensor, **others: Tensor) -> dict[str, Tensor]:
        """The real frames."""
        return {"frames": frames(self.student.config, samples_B).sum()}

    def share(
        self,
        counts: Mapping[str, Tensor],
        audio_BS: Tensor,
        samples_B: Tensor,
        targets_LBTW: Tensor,
        mask_BT: Tensor,
        masked_targets_LBTW: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its two parts as metrics.

        `masked_targets_LBTW` are the targets of unmasked frames, by default those of all.
        """
        encoded = self._masked(audio_BS, samples_B, mask_BT)
        seen_LBTW = targets_LBTW if masked_targets_LBTW is None else masked_targets_LBTW
        masked_BT, unmasked_BT = encoded.valid_BT & mask_BT, encoded.valid_BT & ~mask_BT
        depth = len(self.heads)
        masked = unmasked = counts["frames"].new_zeros((), dtype=torch.float32)
        for block, (head, target_BTW, seen_BTW) in enumerate(
            zip(self.heads, targets_LBTW, seen_LBTW, strict=True), start=1
        ):
            # With `norm: pre` only the output has passed the final LayerNorm.
            x_BTD = encoded.output_BTD if block == depth else encoded.hidden[block]
            predicted_BTW = head(x_BTD).float()
            weight = 1.0 if block == depth else self.settings.inner_weight
            masked = masked + weight * _squares(predicted_BTW, target_BTW, masked_BT) / counts["frames"]
            unmasked = unmasked + weight * _squares(predicted_BTW, seen_BTW, unmasked_BT) / counts["frames"]
        loss = masked + self.settings.unmasked_weight * unmasked
        return loss, {"masked": masked.detach(), "unmasked": unmasked.detach()}

    def _masked(self, audio_BS: Tensor, samples_B: Tensor, mask_BT: Tensor) -> Encoded:
        """The student's hidden states of speech that is masked in these of its frames."""
        x_BUD, frames_B = self.student.features(audio_BS, samples_B)
        if self.mask_D is not None:
            config = self.student.config
            mask_BU = mask_BT.repeat_interleave(config.hop_samples // config.feature_hop, dim=1)
            # Frames at the end that were too few to become one of the blocks are never masked.
            mask_BU = pad(mask_BU, (0, x_BUD.shape[1] - mask_BU.shape[1]))
            x_BUD = torch.where(mask_BU[..., None], self.mask_D.to(x_BUD.dtype), x_BUD)
        return self.student.encode(x_BUD, frames_B)


def _squares(predicted_BTW: Tensor, target_BTW: Tensor, frames_BT: Tensor) -> Tensor:
    """The mean over channels of squared differences, summed over these frames."""
    return ((predicted_BTW - target_BTW).square().mean(-1) * frames_BT).sum()


class MaskedBatches:
    """Prepares batches for `MaskedLayers`: those of `TeacherBatches`, a new mask every time, and masked targets."""

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        layers: list[int],
        precision: str,
        settings: MaskedLayersSettings,
        seed: int,
        grid: Grid | None = None,
    ) -> None:
        """With `grid` targets of whole speech lie beside each batch. Those of masked speech are always asked for."""
        self._student, self._teacher = student, teacher
        self._settings, self._seed = settings, seed
        self._span = span_frames(settings.mask_ms, student.config.frame_hz)
        self._whole = TeacherBatches(student, teacher, layers, precision, grid=grid)
        self._partly = TeacherBatches(student, teacher, layers, precision)

    def __call__(self, step: int, batch: Batch) -> dict[str, Tensor]:
        prepared = self._whole(step, batch)
        counts = [int(self._student.frames(int(samples))) for samples in batch.samples_B]
        # The draw depends on the batch's number alone, so a resumed trial masks as an uninterrupted one.
        rng = generator(self._seed, batch.number)
        mask_BT = span_mask(np.array(counts), max(counts), self._settings.mask_prob, self._span, rng)
        prepared["mask_BT"] = torch.from_numpy(mask_BT).to(prepared["audio_BS"].device)
        if self._settings.asks_masked:
            hear = partial(self._hear, prepared["mask_BT"])
            prepared["masked_targets_LBTW"] = self._partly(step, batch, hear)["targets_LBTW"]
        return prepared

    def _hear(self, mask_BT: Tensor, audio_BS: Tensor, samples_B: Tensor) -> Encoded:
        """What the teacher makes of speech that is masked where the student's is."""
        x_BUW, frames_B = self._teacher.features(audio_BS, samples_B)
        hops = self._teacher.config.feature_hop, self._student.config.hop_samples
        source_U = torch.arange(x_BUW.shape[1], device=x_BUW.device) * hops[0] // hops[1]
        mask_BU = mask_BT[:, source_U.clamp(max=mask_BT.shape[1] - 1)]
        # Teachers keep no vector that stands for masked frames. The mean of a recording says nothing of one frame.
        valid_BU1 = valid_mask(frames_B, x_BUW.shape[1])[..., None]
        mean_B1W = (x_BUW * valid_BU1).sum(1, keepdim=True) / frames_B[:, None, None].clamp(min=1)
        return self._teacher.encode(torch.where(mask_BU[..., None], mean_B1W, x_BUW), frames_B)
