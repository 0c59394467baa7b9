"""The parts of linear CTC: a corpus's symbols, the loss, greedy reading, and heads over an encoder.

Connectionist temporal classification (CTC) reads a symbol or a blank from each frame, so that no one need say when a
symbol is spoken.
Shapes: B cuts, L layers, T frames, N frames of several cuts end to end, D width, V symbols with the blank at 0.
Source: Graves et al., ICML 2006.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

import torch
from lhotse.cut import MonoCut
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pad_sequence

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.frames import frames
from raysearch.errors import InputError

Unit = Literal["phones", "characters", "slots"]
"""What a symbol is: a phone, a character, or a character or the mark of a slot."""
MARK = re.compile("<[^>]*>")
"""Where a slot begins or ends among words: `<artist>` or `</artist>`."""
_SYMBOL = re.compile(f"{MARK.pattern}|.")
_KEYS: dict[Unit, str] = {"phones": "custom.phones", "characters": "text", "slots": "custom.marked"}
BLANK = 0
"""The token that means: no symbol."""
BOUNDARY = " "
"""The symbol between two words."""


def reference(cut: MonoCut, unit: Unit) -> list[str]:
    """What was said in a cut, as a list of phones, or of words, to which the marks of slots stick where slots are read.

    Raises: InputError if the cut has no such label.
    """
    said = _said(cut, unit)
    if said is None:
        raise InputError(f"cut {cut.id}: {_KEYS[unit]}: nothing; expected what was said")
    return list(said if unit == "phones" else said.split())


def is_labelled(cut: MonoCut, unit: Unit) -> bool:
    """Whether it is known what was said in the cut, in this unit."""
    return _said(cut, unit) is not None


def _said(cut: MonoCut, unit: Unit) -> Any:
    supervision = cut.supervisions[0]
    if unit == "characters":
        return supervision.text
    return (supervision.custom or {}).get("phones" if unit == "phones" else "marked")


@dataclass(frozen=True)
class Tokens:
    """The symbols that a head can emit. Symbol i has token i + 1, because token 0 is the blank."""

    unit: Unit
    symbols: tuple[str, ...]

    @classmethod
    def from_cuts(cls, cuts: Iterable[MonoCut], unit: Unit) -> Tokens:
        """The symbols of these cuts, sorted. Give it cuts of the training split only, or a head would know others."""
        return cls(unit, tuple(sorted({symbol for cut in cuts for symbol in spelled(cut, unit)})))

    @property
    def count(self) -> int:
        """The number of outputs of a head: one for each symbol, and one for the blank."""
        return len(self.symbols) + 1

    def encode(self, cut: MonoCut) -> list[int]:
        """The tokens of what was said in the cut. A symbol that has no token is left out.

        No head can emit such a symbol, so it scores as an error all the same.
        """
        index = {symbol: token for token, symbol in enumerate(self.symbols, start=1)}
        return [index[symbol] for symbol in spelled(cut, self.unit) if symbol in index]

    def decode(self, tokens: Sequence[int]) -> list[str]:
        """The phones that these tokens spell, or the words between their boundaries."""
        symbols = [self.symbols[token - 1] for token in tokens]
        return symbols if self.unit == "phones" else "".join(symbols).split()


def spelled(cut: MonoCut, unit: Unit) -> list[str]:
    """The symbols of what was said in a cut. Raises: InputError as `reference`."""
    items = reference(cut, unit)
    if unit == "slots":
        return _SYMBOL.findall(BOUNDARY.join(items))
    return items if unit == "phones" else list(BOUNDARY.join(items))


def frames_needed(target: Sequence[int] | Sequence[str]) -> int:
    """The fewest frames that can emit `target`. With fewer the loss is infinite.

    A symbol that follows itself needs a blank between, or the two would be read as one.
    """
    return len(target) + sum(a == b for a, b in pairwise(target))


def count_infeasible(config: AnyConfig, cuts: Iterable[MonoCut], tokens: Tokens) -> int:
    """The number of cuts that have too few frames in this encoder. They teach nothing and cannot be read rightly."""
    return sum(frames(config, cut.num_samples) < frames_needed(tokens.encode(cut)) for cut in cuts)


def ctc_loss(logits_BTV: Tensor, frames_B: Tensor, targets: Sequence[Sequence[int]]) -> Tensor:
    """The summed loss of all cuts of the batch, in nats. Whoever calls this divides it by the number of target tokens.

    A mean of cuts' losses would weigh cuts alike, and so weigh the tokens of short cuts more.
    A cut whose target does not fit into its frames adds no loss and no gradient. `count_infeasible` finds such cuts.
    """
    lengths_B = torch.tensor([len(target) for target in targets])
    tokens = torch.tensor([token for target in targets for token in target], dtype=torch.long)
    log_probs_TBV = logits_BTV.float().log_softmax(-1).transpose(0, 1)
    return F.ctc_loss(
        log_probs_TBV,
        tokens.to(logits_BTV.device),
        frames_B.cpu(),
        lengths_B,
        blank=BLANK,
        reduction="sum",
        zero_infinity=True,
    )


def greedy(logits_BTV: Tensor, frames_B: Tensor) -> list[list[int]]:
    """Each row's reading: the likeliest token of every frame, with repeats merged and blanks dropped."""
    # One transfer from the device, where each row would need its own.
    best_BT = logits_BTV.argmax(-1).cpu()
    merged = (torch.unique_consecutive(best_T[:n]) for best_T, n in zip(best_BT, frames_B.tolist(), strict=True))
    return [[token for token in row.tolist() if token != BLANK] for row in merged]


class CtcHead(nn.Module):
    """A weighted sum of LayerNormed hidden states, whose weights are learned through a softmax, and one linear layer.

    All weights start at zero, so that a head depends on no random draw. That is safe, because the problem is convex in
    the linear layer.
    Source: the weighted sum is SUPERB's (Yang et al., Interspeech 2021).
    """

    def __init__(self, layers: int, width: int, symbols: int) -> None:
        super().__init__()
        self.mix_L = nn.Parameter(torch.zeros(layers))
        self.weight_VD = nn.Parameter(torch.zeros(symbols, width))
        self.bias_V = nn.Parameter(torch.zeros(symbols))

    def forward(self, x_LND: Tensor) -> Tensor:
        """The logits of each frame, `(N, V)`."""
        mixed_ND = torch.einsum("l,lnd->nd", self.mix_L.softmax(0), x_LND)
        return F.linear(mixed_ND, self.weight_VD, self.bias_V)


class OutputHead(nn.Linear):
    """One linear layer on an encoder's output, as CTC teachers have it.

    Its input is that of other heads, `x_LND`, with the output as the one layer.
    """

    def forward(self, x_LND: Tensor) -> Tensor:
        """The logits of each frame, `(N, V)`."""
        return super().forward(x_LND[-1])


def pad(logits_NV: Tensor, frames: Sequence[int]) -> Tensor:
    """Frames of several cuts that lie end to end, laid out as one row a cut, `(B, T, V)`, and padded with zeros."""
    return pad_sequence(list(logits_NV.split(list(frames))), batch_first=True)
