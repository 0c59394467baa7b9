"""Masked prediction of a label set: the loss that HuBERT and its descendants share.

Shapes: B batch, S samples, T frames, D width, P projection, K labels.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, normalize

from raysearch.encoder.encoder import Encoder
from raysearch.methods.labels.settings import PredictionSettings
from raysearch.training.process import mean_over_processes

PADDING = -100
"""The label of padding, which is no frame at all."""
PROJECTION = 256
"""Width of the space in which a cosine head compares frames with the codes of labels."""


class MaskedPrediction(nn.Module):
    """A student with a head on each block that predicts labels. The loss is their cross-entropy at masked frames.

    Each such block counts the same.
    Source: HuBERT, Hsu et al. 2021, section II, without its penalty on the outputs of waveform convolutions.
    """

    def __init__(self, student: Encoder, labels: int, settings: PredictionSettings) -> None:
        super().__init__()
        self.student = student
        self.settings = settings
        width = student.config.width
        self.blocks = settings.blocks(student.config.depth)
        self.heads = nn.ModuleList(_head(width, labels, settings) for _ in self.blocks)
        # Without masking there is no such parameter, because it would never get a gradient. As in HuBERT it is drawn
        # evenly from 0 to 1, which makes it as loud as the features that it stands for.
        self.mask_D = nn.Parameter(torch.rand(width)) if settings.mask_prob else None

    def forward(
        self, audio_BS: Tensor, samples_B: Tensor, labels_BT: Tensor, mask_BT: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and as a metric the share of masked frames whose label is predicted rightly.

        If nothing is ever masked, both are taken over all frames.
        """
        x_BTD, frames_B = self.student.features(audio_BS, samples_B)
        real_BT = labels_BT != PADDING
        if self.mask_D is None:
            main_BT = real_BT
        else:
            main_BT = mask_BT & real_BT
            # Under autocast the features are in half precision, and the parameter is not.
            x_BTD = torch.where(mask_BT[..., None], self.mask_D.to(x_BTD.dtype), x_BTD)
        encoded = self.student.encode(x_BTD, frames_B)
        terms = []
        for block, head in zip(self.blocks, self.heads, strict=True):
            # With `norm: pre` only the output has passed the final LayerNorm, the last hidden state has not.
            last = block == self.student.config.depth
            logits_BTK = head(encoded.output_BTD if last else encoded.hidden[block])
            terms.append(self._loss(logits_BTK, labels_BT, main_BT, real_BT & ~main_BT))
        losses, accuracies = zip(*terms, strict=True)
        return torch.stack(losses).mean(), {"accuracy": torch.stack(accuracies).mean()}

    def _loss(self, logits_BTK: Tensor, labels_BT: Tensor, main_BT: Tensor, other_BT: Tensor) -> tuple[Tensor, Tensor]:
        nll_BT = cross_entropy(logits_BTK.float().transpose(1, 2), labels_BT, reduction="none", ignore_index=PADDING)
        loss = mean_over_processes(nll_BT, main_BT)
        if self.settings.unmasked_weight:
            loss = loss + self.settings.unmasked_weight * mean_over_processes(nll_BT, other_BT)
        right_BT = (logits_BTK.detach().argmax(-1) == labels_BT) & main_BT
        return loss, right_BT.sum() / main_BT.sum().clamp(min=1)


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


def _head(width: int, labels: int, settings: PredictionSettings) -> nn.Module:
    if settings.head == "linear":
        return nn.Linear(width, labels)
    return CosineHead(width, labels, settings.temperature)
