"""Models as other runtimes call them: on log-mel bins that the runtime computes, or on audio with other lengths.

Shapes: B recordings, S samples, T frames, M mel bins, V tokens.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from raysearch.encoder.config import FrontEnd, is_mirrored
from raysearch.encoder.frames import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES, valid_mask

NEVER = -1e4
"""Log-probability of what is not to be read. It is finite in half precision."""


class FromBins(nn.Module):
    """A model with a log-mel front end, without its filterbank."""

    def __init__(self, model: nn.Module, front_end: FrontEnd) -> None:
        super().__init__()
        self.model = model
        # A filterbank makes as many frames of so many samples, and of no fewer than a hop less.
        self.more = 0 if is_mirrored(front_end) else MEL_WINDOW_SAMPLES - MEL_HOP_SAMPLES

    def forward(self, x_BTM: Tensor, frames_B: Tensor) -> tuple[Tensor, Tensor]:
        """What the model gives for the bins, as the filterbank has them before they are normalised."""
        outputs, frames_out_B = self.model(x_BTM, MEL_HOP_SAMPLES * frames_B + self.more)
        return outputs, frames_out_B


class OneByOne(nn.Module):
    """A model whose only input is audio or bins, all of it valid. It gives its first output alone."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x_BX: Tensor) -> Tensor:
        """What the model gives for recordings of one length: audio `(B, S)` or bins `(B, T, M)`."""
        counts_B = torch.full((x_BX.shape[0],), x_BX.shape[1], dtype=torch.int64)
        outputs: Tensor = self.model(x_BX, counts_B)[0]
        return outputs


class BlankedPadding(nn.Module):
    """A CTC model that gives blanks past the end of each recording, since its caller may count a frame too many."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> Tensor:
        """Log-probabilities (B, T, V)."""
        log_probs_BTV, frames_B = self.model(audio_BS, samples_B)
        past_BT1 = ~valid_mask(frames_B, log_probs_BTV.shape[1])[..., None]
        spoken_V = torch.arange(log_probs_BTV.shape[2]) > 0
        blanked: Tensor = torch.where(past_BT1, NEVER * spoken_V, log_probs_BTV)
        return blanked
