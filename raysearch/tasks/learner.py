"""How a head learns a task, and an encoder that learns together with its head.

Tasks differ only in their learner while they train. Probing, fine-tuning and pruning are the same for all of them.

Shapes: B cuts, S samples, L layers, T frames, N frames of several cuts end to end, D width.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from lhotse.cut import MonoCut
from torch import Tensor, nn

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder
from raysearch.tasks.layers import normalised_layers


class Learner(Protocol):
    """What a head needs to learn a task: the head itself, and its loss. It knows the labels of the training cuts."""

    def head(self, layers: int, width: int) -> nn.Module:
        """A new head, for an encoder with so many hidden states of this width."""

    def loss(self, head: nn.Module, x_LND: Tensor, frames: Sequence[int], cuts: Sequence[MonoCut]) -> Tensor:
        """The loss of a batch in nats. Its cuts lie end to end and have so many frames each."""


class EncoderUnderHead(nn.Module):
    """An encoder under the head of a task, which learns together with it. Methods that prune for a task train it."""

    def __init__(self, student: Encoder | GatedEncoder, learner: Learner) -> None:
        super().__init__()
        self.student = student
        self.head = learner.head(student.config.depth + 1, student.config.width)
        self._learner = learner

    def forward(self, audio_BS: Tensor, samples_B: Tensor, cuts: Sequence[MonoCut]) -> tuple[Tensor, dict[str, Tensor]]:
        xs = normalised_layers(self.student, audio_BS, samples_B)
        return self._learner.loss(self.head, torch.cat(xs, dim=1), [x_LTD.shape[1] for x_LTD in xs], cuts), {}

    @staticmethod
    def prepare(step: int, batch: Batch) -> Mapping[str, Any]:
        """The arguments of `forward` for a batch."""
        return {"audio_BS": batch.audio_BS, "samples_B": batch.samples_B, "cuts": batch.cuts}
