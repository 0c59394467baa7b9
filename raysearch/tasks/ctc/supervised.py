"""An encoder under a linear CTC head, which learns together with it to read a corpus's symbols.

Teachers are trained so, and students that are pruned for a task.

Shapes: B batch, S samples, T frames, V symbols.
"""

from __future__ import annotations

from torch import Tensor, nn

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder
from raysearch.tasks.ctc.tokens import ctc_loss


class EncoderUnderCtc(nn.Module):
    """An encoder with one linear layer on its last block, trained by the CTC loss."""

    def __init__(self, student: Encoder | GatedEncoder, symbols: int) -> None:
        super().__init__()
        self.student = student
        self.head = nn.Linear(student.config.width, symbols)

    def forward(
        self, audio_BS: Tensor, samples_B: Tensor, targets: list[list[int]]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The loss per symbol, in nats, and no metrics. `targets` are the tokens of each row."""
        logits_BTV, frames_B = self.logits(audio_BS, samples_B)
        return ctc_loss(logits_BTV, frames_B, targets), {}

    def logits(self, audio_BS: Tensor, samples_B: Tensor) -> tuple[Tensor, Tensor]:
        """The logits (B, T, V) and the number of frames of each row."""
        encoded = self.student(audio_BS, samples_B)
        return self.head(encoded.output_BTD), encoded.frames_B
