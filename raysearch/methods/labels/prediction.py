"""Masked prediction of label sets: the loss that HuBERT and its descendants share.

Shapes: B batch, S samples, T frames, D width, P projection, K labels, G label sets,
M nearest clusters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from raysearch.encoder.encoder import Encoder
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.targets.settings import OtherTargets
from raysearch.training.loss_module import LossModule

PADDING = -100
"""The label of padding, which is no frame at all."""
PROJECTION = 256
"""Width of the space in which a cosine head compares frames with the codes of labels."""


class MaskedPrediction(LossModule):
    """A student with a head on each block that predicts labels. The loss is their cross-entropy at masked frames.

    Each such block counts the same, and each label set by its weight.
    Source: HuBERT, Hsu et al. 2021, section II, without its penalty on the outputs of waveform convolutions.
    """

    def __init__(
        self, student: Encoder, labels: int, settings: PredictionSettings, more: Sequence[OtherTargets] = ()
    ) -> None:
        """`labels` is the number of labels in the first label set. `more` says what the others are."""
        super().__init__()
        self.student = student
        self.settings = settings
        width = student.config.width
        self.blocks = settings.blocks(student.config.depth)
        self.heads = nn.ModuleList(_head(width, labels, settings) for _ in self.blocks)
        self.more_heads = nn.ModuleList(
            nn.ModuleList(_head(width, one.clusters, settings) for _ in self.blocks) for one in more
        )
        self.weights = [1.0, *(one.weight for one in more)]
        # Without masking there is no such parameter, because it would never get a gradient. As in HuBERT it is drawn
        # evenly from 0 to 1, which makes it as loud as the features that it stands for.
        self.mask_D = nn.Parameter(torch.rand(width)) if settings.mask_prob else None

    def counts(self, labels_BT: Tensor, mask_BT: Tensor, **inputs: Any) -> dict[str, Tensor]:
        """The frames that the loss is mostly about, and all other real frames."""
        main_BT, other_BT = self._frames(labels_BT, mask_BT)
        return {"main": main_BT.sum(), "other": other_BT.sum()}

    def share(
        self,
        counts: Mapping[str, Tensor],
        audio_BS: Tensor,
        samples_B: Tensor,
        labels_BT: Tensor,
        mask_BT: Tensor,
        more_GBT: Tensor | None = None,
        near_GBTM: Tensor | None = None,
        share_GBTM: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and as a metric the share of masked frames whose label is predicted rightly.

        If nothing is ever masked, both are taken over all frames. `more_GBT` holds the labels of all label sets but the
        first. Soft labels have, for every label set, the nearest clusters of each frame and the share of each.
        """
        sets = [labels_BT, *(() if more_GBT is None else more_GBT)]
        soft = None if near_GBTM is None or share_GBTM is None else list(zip(near_GBTM, share_GBTM, strict=True))
        x_BTD, frames_B = self.student.features(audio_BS, samples_B)
        main_BT, other_BT = self._frames(labels_BT, mask_BT)
        if self.mask_D is not None:
            # Under autocast the features are in half precision, and the parameter is not.
            x_BTD = torch.where(mask_BT[..., None], self.mask_D.to(x_BTD.dtype), x_BTD)
        encoded = self.student.encode(x_BTD, frames_B)
        loss = right = x_BTD.new_zeros((), dtype=torch.float32)
        for block, *heads in zip(self.blocks, self.heads, *self.more_heads, strict=True):
            # With `norm: pre` only the output has passed the final LayerNorm, the last hidden state has not.
            last = block == self.student.config.depth
            x_BTD = encoded.output_BTD if last else encoded.hidden[block]
            nll_BT, right_BT = self._guesses(heads, x_BTD, sets, soft)
            loss = loss + (nll_BT * main_BT).sum() / counts["main"]
            if self.settings.unmasked_weight:
                loss = loss + self.settings.unmasked_weight * (nll_BT * other_BT).sum() / counts["other"]
            right = right + (right_BT * main_BT).sum() / counts["main"]
        return loss / len(self.blocks), {"accuracy": right / len(self.blocks)}

    def _guesses(
        self,
        heads: Sequence[nn.Module],
        x_BTD: Tensor,
        sets: Sequence[Tensor],
        soft: Sequence[tuple[Tensor, Tensor]] | None,
    ) -> tuple[Tensor, Tensor]:
        """The cross-entropy of each frame in nats (B, T), and how much of its labels is predicted rightly (B, T).

        Both are means over the label sets by their weights.
        """
        nll = right = x_BTD.new_zeros((), dtype=torch.float32)
        for place, (head, labels_BT, weight) in enumerate(zip(heads, sets, self.weights, strict=True)):
            logits_BTK = head(x_BTD)
            share = weight / sum(self.weights)
            nll = nll + share * (_soft_nll(logits_BTK, *soft[place]) if soft else _nll(logits_BTK, labels_BT))
            right = right + share * (logits_BTK.detach().argmax(-1) == labels_BT)
        return nll, right

    def _frames(self, labels_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        """Which frames the loss is mostly about (B, T): the masked ones, or all if none is ever masked.

        Beside them all other real frames (B, T).
        """
        real_BT = labels_BT != PADDING
        main_BT = real_BT if self.mask_D is None else mask_BT & real_BT
        return main_BT, real_BT & ~main_BT


class CosineHead(nn.Module):
    """A head whose logits are cosines of a projected frame with one learned code for each label, over a temperature.

    They are computed as one matrix product. To gather the code of each frame and its distractors gives the same loss,
    hundreds of times slower.
    Source: HuBERT, Hsu et al. 2021, equation 3.
    """

    def __init__(self, width: int, labels: int, temperature: float) -> None:
        super().__init__()
        self.project = nn.Linear(width, PROJECTION)
        self.codes_KP = nn.Parameter(torch.randn(labels, PROJECTION))
        self.temperature = temperature

    def forward(self, x_BTD: Tensor) -> Tensor:
        projected_BTP = normalize(self.project(x_BTD), dim=-1)
        return projected_BTP @ normalize(self.codes_KP, dim=-1).T / self.temperature


def _nll(logits_BTK: Tensor, labels_BT: Tensor) -> Tensor:
    """The cross-entropy of each frame in nats (B, T), and 0 in padding."""
    return cross_entropy(logits_BTK.float().transpose(1, 2), labels_BT, reduction="none", ignore_index=PADDING)


def _soft_nll(logits_BTK: Tensor, near_BTM: Tensor, share_BTM: Tensor) -> Tensor:
    """The cross-entropy of each frame in nats (B, T) with shares of several labels. They are 0 in padding."""
    return -(logits_BTK.float().log_softmax(-1).gather(-1, near_BTM) * share_BTM).sum(-1)


def _head(width: int, labels: int, settings: PredictionSettings) -> nn.Module:
    if settings.head == "linear":
        return nn.Linear(width, labels)
    return CosineHead(width, labels, settings.temperature)
