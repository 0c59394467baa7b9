"""Distillation of relations: how like each other any two frames are, in the student as in the teacher.

Shapes: B batch, S samples, T frames, D width, L layers, W teacher width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.methods.layerwise.settings import RelationSettings
from raysearch.training.loss_module import LossModule, beyond


class Relations(LossModule):
    """A student whose temporal Gram matrices are to be the teacher's.

    Such a matrix holds, for any two frames, the mean over channels of their product. `within` one layer both frames are
    of the same hidden state; `across` a block one is of what it reads and one of what it gives. The losses are means of
    squared differences over pairs of real frames and over blocks.
    Source: Jang et al., STaR, ICASSP 2024, section 2.
    """

    def __init__(self, student: Encoder, settings: RelationSettings) -> None:
        super().__init__()
        self.student = student
        self.settings = settings

    def counts(self, audio_BS: Tensor, samples_B: Tensor, targets_LBTW: Tensor) -> dict[str, Tensor]:
        """The pairs of real frames of one recording."""
        return {"pairs": frames(self.student.config, samples_B).square().sum()}

    def unread(self) -> Iterator[nn.Parameter]:
        """The final LayerNorm: the loss reads hidden states, never the output."""
        return beyond(self.student, self.student.config.depth)

    def share(
        self, counts: Mapping[str, Tensor], audio_BS: Tensor, samples_B: Tensor, targets_LBTW: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and its two parts as metrics. `targets_LBTW` begins with the input of the teacher's first block."""
        encoded = self.student(audio_BS, samples_B)
        pairs_BTT = encoded.valid_BT[:, :, None] & encoded.valid_BT[:, None]
        # Small differences of large sums are taken in full precision.
        with torch.autocast(audio_BS.device.type, enabled=False):
            mine, theirs = [_normed(x_BTD) for x_BTD in encoded.hidden], [_normed(x_BTW) for x_BTW in targets_LBTW]
            within = sum(
                _gap(own, own, other, other, pairs_BTT) for own, other in zip(mine[1:], theirs[1:], strict=True)
            )
            steps = zip(mine, mine[1:], theirs, theirs[1:], strict=False)
            across = sum(_gap(*step, pairs_BTT) for step in steps)
        divisor = counts["pairs"] * self.student.config.depth
        within, across = within / divisor, across / divisor
        loss = self.settings.within_weight * within + self.settings.across_weight * across
        return loss, {"within": within.detach(), "across": across.detach()}


def _normed(x_BTD: Tensor) -> Tensor:
    return layer_norm(x_BTD.float(), x_BTD.shape[-1:])


def _gap(x_BTD: Tensor, y_BTD: Tensor, other_x_BTW: Tensor, other_y_BTW: Tensor, pairs_BTT: Tensor) -> Tensor:
    """The squared differences of two Gram matrices, summed over real pairs."""
    difference_BTT = _gram(x_BTD, y_BTD) - _gram(other_x_BTW, other_y_BTW)
    return (difference_BTT.square() * pairs_BTT).sum()


def _gram(x_BTD: Tensor, y_BTD: Tensor) -> Tensor:
    return x_BTD @ y_BTD.transpose(1, 2) / x_BTD.shape[2]
