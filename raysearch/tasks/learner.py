"""How a head learns a task, and an encoder that learns together with its head.

Tasks differ only in their learner while they train. Probing, fine-tuning and pruning are the same for all of them.

Shapes: B cuts, S samples, L layers, T frames, N frames of several cuts end to end, D width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from lhotse.cut import MonoCut
from torch import Tensor, nn

from raysearch.corpora.batches import Batch
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder
from raysearch.tasks.ctc.tokens import OutputHead
from raysearch.tasks.layers import states_for
from raysearch.training.loss_module import LossModule, beyond


class Learner(Protocol):
    """What a head needs to learn a task: the head itself, and its loss. It knows the labels of the training cuts."""

    def head(self, layers: int, width: int) -> nn.Module:
        """A new head, for an encoder with so many hidden states of this width."""

    def count(self, cuts: Sequence[MonoCut]) -> int:
        """The number of tokens or cuts that the loss of these cuts is a sum over."""

    def loss(self, head: nn.Module, x_LND: Tensor, frames: Sequence[int], cuts: Sequence[MonoCut]) -> Tensor:
        """The summed loss of a batch in nats. Its cuts lie end to end and have so many frames each."""


class EncoderUnderHead(LossModule):
    """An encoder under the head of a task, which learns together with it.

    Methods that prune for a task train it, and so do teachers that learn to read.
    """

    def __init__(self, student: Encoder | GatedEncoder, learner: Learner, head: nn.Module) -> None:
        super().__init__()
        self.student = student
        self.head = head
        self._learner = learner

    def counts(self, audio_BS: Tensor, samples_B: Tensor, cuts: Sequence[MonoCut]) -> dict[str, int]:
        """What the learner counts."""
        return {"learned": self._learner.count(cuts)}

    def unread(self) -> Iterator[nn.Parameter]:
        """The final LayerNorm, where the head reads hidden states and not the output."""
        return iter(()) if isinstance(self.head, OutputHead) else beyond(self.student, self.student.config.depth)

    def share(
        self, counts: Mapping[str, Tensor], audio_BS: Tensor, samples_B: Tensor, cuts: Sequence[MonoCut]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        xs = states_for(self.head)(self.student, audio_BS, samples_B)
        loss = self._learner.loss(self.head, torch.cat(xs, dim=1), [x_LTD.shape[1] for x_LTD in xs], cuts)
        return loss / counts["learned"], {}

    @staticmethod
    def prepare(step: int, batch: Batch) -> Mapping[str, Any]:
        """The arguments of `forward` for a batch."""
        return {"audio_BS": batch.audio_BS, "samples_B": batch.samples_B, "cuts": batch.cuts}
