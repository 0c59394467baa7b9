"""Matching of a student's hidden states with those of the same layers in its teacher.

Shapes: B batch, S samples, T frames, L layers, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn
from torch.nn.functional import cosine_similarity

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.encoder.gates import GatedEncoder
from raysearch.methods.pruning.settings import MatchingSettings
from raysearch.training.loss_module import LossModule, beyond


class LayerMatching(LossModule):
    """A student whose projected hidden states are to match its teacher's.

    The loss is the L1 distance plus 1 - cosine. Both are means over real frames, dimensions and layers. Layer 0 has a
    projection of its own, and the others share one. Both start as the identity, so that a copy of the teacher starts
    without error.
    Source: DPHuBERT, Peng et al., Interspeech 2023, section 2.3.
    """

    def __init__(
        self, student: Encoder | GatedEncoder, width: int, layers: list[int], settings: MatchingSettings
    ) -> None:
        """Builds the projections. `layers` are numbers of layers, where 0 is the input of the first block."""
        super().__init__()
        self.student = student
        self.layers = layers
        self.settings = settings
        self.heads = nn.ModuleDict({name: _identity(width) for name in sorted({_head(layer) for layer in layers})})

    def counts(self, audio_BS: Tensor, samples_B: Tensor, targets_LBTW: Tensor) -> dict[str, Tensor]:
        """The real frames."""
        return {"frames": frames(self.student.config, samples_B).sum()}

    def unread(self) -> Iterator[nn.Parameter]:
        """What lies above the last layer that is matched: the loss reads hidden states, never the output."""
        return beyond(self.student, max(self.layers))

    def share(
        self, counts: Mapping[str, Tensor], audio_BS: Tensor, samples_B: Tensor, targets_LBTW: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and the mean cosine as a metric."""
        encoded = self.student(audio_BS, samples_B)
        projected = [self.heads[_head(layer)](encoded.hidden[layer]) for layer in self.layers]
        predicted_LBTW = torch.stack(projected).float()
        l1_BT = (predicted_LBTW - targets_LBTW).abs().mean((0, -1))
        cosine_BT = cosine_similarity(predicted_LBTW, targets_LBTW, dim=-1).mean(0)
        loss_BT = self.settings.l1_weight * l1_BT + self.settings.cosine_weight * (1 - cosine_BT)
        valid_BT = encoded.valid_BT
        metrics = {"cosine": (cosine_BT.detach() * valid_BT).sum() / counts["frames"]}
        return (loss_BT * valid_BT).sum() / counts["frames"], metrics


def _head(layer: int) -> str:
    return "features" if layer == 0 else "blocks"


def _identity(width: int) -> nn.Linear:
    linear = nn.Linear(width, width)
    nn.init.eye_(linear.weight)
    nn.init.zeros_(linear.bias)
    return linear
