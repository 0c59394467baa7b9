"""SUPERB's heads for CTC: two linear layers for phones, and a recurrent network for characters, also with slots.

Frames are read as the encoder gives them. Of an encoder with 25 frames a second the heads see half as many as of one
with 50, and masked spans last twice as long.

Shapes: B cuts, L layers, T frames, N frames of several cuts end to end, D width of the encoder, U units, V symbols.
Source: SUPERB, as `raysearch.tasks.superb` has it. Deviations: hidden states are LayerNormed before they are averaged;
nothing is warped in time; the outputs are the symbols of the training split and a blank.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from raysearch.tasks.ctc.tokens import Unit, pad
from raysearch.tasks.superb import (
    CHANNEL_MASKS,
    CHANNEL_SPAN,
    DIRECTIONS,
    DROPOUT,
    LSTM_LAYERS,
    TIME_MASKS,
    TIME_SPAN,
)


class ProjectedHead(nn.Module):
    """A learned average of LayerNormed hidden states, and two linear layers with nothing between them."""

    def __init__(self, layers: int, width: int, symbols: int, units: int) -> None:
        super().__init__()
        self.mix_L = nn.Parameter(torch.zeros(layers))
        self.project = nn.Linear(width, units)
        self.read = nn.Linear(units, symbols)

    def forward(self, x_LND: Tensor) -> Tensor:
        """The logits of each frame, `(N, V)`."""
        logits_NV: Tensor = self.read(self.project(torch.einsum("l,lnd->nd", self.mix_L.softmax(0), x_LND)))
        return logits_NV


class RecurrentHead(nn.Module):
    """A learned average of LayerNormed hidden states, a linear layer, two LSTM layers that read both ways, and a linear
    layer. While it learns, spans of frames and of channels are masked.
    """

    def __init__(self, layers: int, width: int, symbols: int, units: int) -> None:
        super().__init__()
        self.mix_L = nn.Parameter(torch.zeros(layers))
        self.project = nn.Linear(width, units)
        inputs = [units, *[DIRECTIONS * units] * (LSTM_LAYERS - 1)]
        self.recurrent = nn.ModuleList(BothWays(count, units) for count in inputs)
        self.dropout = nn.Dropout(DROPOUT)
        self.read = nn.Linear(DIRECTIONS * units, symbols)

    def forward(self, x_LND: Tensor, frames: Sequence[int]) -> Tensor:
        """The logits of each frame, `(N, V)`, of cuts that lie end to end and have so many frames each."""
        x_BTD = pad(torch.einsum("l,lnd->nd", self.mix_L.softmax(0), x_LND), frames)
        frames_B = torch.tensor(frames)
        if self.training:
            x_BTD = x_BTD * ~masks(x_BTD, frames_B)
        logits_BTV = self.rows(x_BTD, frames_B)
        return torch.cat([row_TV[:count] for row_TV, count in zip(logits_BTV, frames, strict=True)])

    def rows(self, x_BTD: Tensor, frames_B: Tensor) -> Tensor:
        """The logits (B, T, V) of averaged states in padded rows that have so many frames each."""
        x_BTU = self.project(x_BTD)
        for layer in self.recurrent:
            x_BTU = self.dropout(layer(x_BTU, frames_B))
        logits_BTV: Tensor = self.read(x_BTU)
        return logits_BTV


class BothWays(nn.LSTM):
    """An LSTM layer that reads each padded row forwards and backwards, and only its own frames."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__(inputs, units, bidirectional=True, batch_first=True)

    def forward(self, x_BTU: Tensor, frames_B: Tensor) -> Tensor:  # type: ignore[override]
        """The states of both directions side by side, (B, T, 2U), and zero behind a row's frames."""
        packed = pack_padded_sequence(x_BTU, frames_B.cpu(), batch_first=True, enforce_sorted=False)
        states_BTU, _ = pad_packed_sequence(super().forward(packed)[0], batch_first=True, total_length=x_BTU.shape[1])
        return states_BTU


def masks(x_BTD: Tensor, frames_B: Tensor) -> Tensor:
    """What is masked of padded rows while a head learns, (B, T, D). Each row has spans of its own."""
    frames_B, width = frames_B.to(x_BTD.device), x_BTD.shape[2]
    time_BT = _spans(x_BTD.shape[1], frames_B, TIME_MASKS, TIME_SPAN)
    channels_BD = _spans(width, torch.full_like(frames_B, width), CHANNEL_MASKS, CHANNEL_SPAN * width)
    return time_BT[..., None] | channels_BD[:, None]


def _spans(places: int, real_B: Tensor, count: int, longest: float) -> Tensor:
    """Booleans (B, N), True within so many spans, each of which lies in the first `real_B` places of its row.

    A span has a length drawn evenly below `longest`, or below the whole row where that is shorter.
    """
    place_N = torch.arange(places, device=real_B.device)
    inside_BN = torch.zeros(len(real_B), places, dtype=torch.bool, device=real_B.device)
    for _ in range(count):
        length_B, begin_B = torch.rand(2, len(real_B), device=real_B.device)
        length_B = (length_B * real_B.clamp(max=longest)).floor()
        begin_B = (begin_B * (real_B - length_B + 1)).floor()
        inside_BN |= (place_N >= begin_B[:, None]) & (place_N < (begin_B + length_B)[:, None])
    return inside_BN


def superb_head(unit: Unit, layers: int, width: int, symbols: int, units: int) -> ProjectedHead | RecurrentHead:
    """A new head of SUPERB for this unit. Its weights are drawn from torch's global generator."""
    kind = ProjectedHead if unit == "phones" else RecurrentHead
    return kind(layers, width, symbols, units)
