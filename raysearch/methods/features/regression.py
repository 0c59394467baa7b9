"""Regression of a student's last block onto the hidden states of a teacher, which are kept or asked for anew.

Shapes: B batch, S samples, T student frames, D student width, U teacher frames, L teacher layers, W teacher width.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity, layer_norm, logsigmoid

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.frames import frames
from raysearch.methods.features.settings import DistillationSettings
from raysearch.methods.settings import block_numbers
from raysearch.targets.align import align_frames
from raysearch.targets.kept_features import States
from raysearch.targets.kept_layer import Grid
from raysearch.training.loss_module import LossModule
from raysearch.training.precision import autocast

Hear = Callable[[Tensor, Tensor], Encoded]
"""What makes hidden states of audio (B, S) and samples (B)."""


class FeatureRegression(LossModule):
    """A student with a linear head for each teacher block, trained to predict that block's hidden states.

    The loss is the L1 distance plus -log sigmoid(cosine). Both are means over real frames, dimensions and teacher
    blocks.
    """

    def __init__(self, student: Encoder, teacher_width: int, settings: DistillationSettings) -> None:
        super().__init__()
        self.student = student
        self.settings = settings
        self.heads = nn.ModuleList(nn.Linear(student.config.width, teacher_width) for _ in settings.layers)

    def counts(self, audio_BS: Tensor, samples_B: Tensor, targets_LBTW: Tensor) -> dict[str, Tensor]:
        """The real frames."""
        return {"frames": frames(self.student.config, samples_B).sum()}

    def share(
        self, counts: Mapping[str, Tensor], audio_BS: Tensor, samples_B: Tensor, targets_LBTW: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the mean cosine as a metric."""
        encoded = self.student(audio_BS, samples_B)
        # Differences of numbers that are nearly the same are taken in full precision.
        predicted_LBTW = torch.stack([head(encoded.output_BTD) for head in self.heads]).float()
        loss, cosine = imitation(predicted_LBTW, targets_LBTW, encoded.valid_BT, counts["frames"], self.settings)
        return loss, {"cosine": cosine}


def imitation(
    predicted_LBTW: Tensor, targets_LBTW: Tensor, valid_BT: Tensor, count: Tensor, settings: DistillationSettings
) -> tuple[Tensor, Tensor]:
    """The loss of predicting hidden states, and the mean cosine, which is detached. Both are sums over valid frames,
    divided by `count`."""
    l1_BT = (predicted_LBTW - targets_LBTW).abs().mean((0, -1))
    cosine_LBT = cosine_similarity(predicted_LBTW, targets_LBTW, dim=-1)
    loss_BT = settings.l1_weight * l1_BT - settings.cosine_weight * logsigmoid(cosine_LBT).mean(0)
    return (loss_BT * valid_BT).sum() / count, (cosine_LBT.detach().mean(0) * valid_BT).sum() / count


class TeacherBatches:
    """Prepares batches: audio, and the teacher's hidden states on the student's frames.

    The hidden states are LayerNormed, or with `raw` left as they are. Only with `raw` may layer 0 be among them, which
    is the input of the first block. With `grid` they are those that lie beside each batch, on the frames that it
    describes. Without it the teacher runs.
    """

    def __init__(
        self,
        student: Encoder,
        teacher: Encoder,
        layers: list[int],
        precision: str,
        *,
        raw: bool = False,
        grid: Grid | None = None,
    ) -> None:
        self._frames = student.frames
        self._teacher = teacher
        self._device = next(teacher.parameters()).device
        self._blocks = block_numbers(layers, teacher.config.depth, first=0 if raw else 1)
        self._raw = raw
        self._grid = grid
        hop, first = grid or Grid(teacher.config.hop_samples, teacher.config.first_sample)
        self._hops, self._later = (hop, student.config.hop_samples), student.config.first_sample - first
        self._precision = precision

    @torch.no_grad()
    def __call__(self, step: int, batch: Batch, hear: Hear | None = None) -> dict[str, Tensor]:
        """Audio, samples and targets. `hear` stands in for the teacher, where it is not to hear the audio as it is."""
        audio_BS = batch.audio_BS.to(self._device, non_blocking=True)
        samples_B = batch.samples_B.to(self._device, non_blocking=True)
        # Rows may hold log-mel bins in place of samples, so the longest cut tells how many frames there are.
        width = int(self._frames(int(batch.samples_B.max())))
        hear = hear or self._teacher
        hidden_LBUW = self._read(batch.beside) if self._grid else self._asked(hear, audio_BS, samples_B)
        targets_LBTW = align_frames(hidden_LBUW.movedim(2, 0), *self._hops, width, self._later).movedim(0, 2)
        if not self._raw:
            targets_LBTW = layer_norm(targets_LBTW, targets_LBTW.shape[-1:])
        return {"audio_BS": audio_BS, "samples_B": samples_B, "targets_LBTW": targets_LBTW}

    def _read(self, found: States) -> Tensor:
        states_LBUW, factors_LB11 = (x.to(self._device, non_blocking=True) for x in found)
        return states_LBUW.float() * factors_LB11

    def _asked(self, hear: Hear, audio_BS: Tensor, samples_B: Tensor) -> Tensor:
        with autocast(self._device, self._precision):
            encoded = hear(audio_BS, samples_B)
        hidden_LBUW = torch.stack([encoded.hidden[block] for block in self._blocks]).float()
        # A student's last frame may lie behind the last one of Whisper.
        return _last_repeated(hidden_LBUW, encoded.frames_B) if self._later else hidden_LBUW


def _last_repeated(hidden_LBUW: Tensor, frames_B: Tensor) -> Tensor:
    """The states with each row's last one in place of its padding."""
    source_BU = torch.minimum(torch.arange(hidden_LBUW.shape[2], device=frames_B.device), frames_B[:, None] - 1)
    return hidden_LBUW.gather(2, source_BU.clamp(min=0)[None, :, :, None].expand_as(hidden_LBUW))
