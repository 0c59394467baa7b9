"""An encoder under a linear CTC head, which learns together with it to read a corpus's symbols.

Teachers are trained so, and students that are pruned for a task.

Shapes: B batch, S samples, T frames, V symbols.
"""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor, nn

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder
from raysearch.tasks.ctc.tokens import ctc_loss
from raysearch.training.loss_module import LossModule


class EncoderUnderCtc(LossModule):
    """An encoder with one linear layer on its last block, trained by the CTC loss per symbol, in nats."""

    def __init__(self, student: Encoder | GatedEncoder, symbols: int) -> None:
        super().__init__()
        self.student = student
        self.head = nn.Linear(student.config.width, symbols)

    def counts(self, audio_BS: Tensor, samples_B: Tensor, targets: list[list[int]]) -> dict[str, int]:
        """The symbols."""
        return {"symbols": sum(map(len, targets))}

    def share(
        self, counts: Mapping[str, Tensor], audio_BS: Tensor, samples_B: Tensor, targets: list[list[int]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss, and no metrics. `targets` are the tokens of each row."""
        logits_BTV, frames_B = self.logits(audio_BS, samples_B)
        return ctc_loss(logits_BTV, frames_B, targets) / counts["symbols"], {}

    def logits(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B, T, V) and the number of frames of each row."""
        encoded = self.student(audio_BS, samples_B)
        return self.head(encoded.output_BTD), encoded.frames_B
