"""The head that decides fields, what teaches it, and how it is kept beside its student.

Shapes: B cuts, L layers, T frames, N frames of several cuts end to end, D width, F fields, V values of all fields,
X what is pooled.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lhotse.cut import MonoCut
from pydantic import PositiveInt
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.encoder import Encoder
from raysearch.settings import Settings
from raysearch.tasks.ctc import pad
from raysearch.tasks.fields import UNKNOWN, Fields
from raysearch.tasks.head import save_head


class FieldHead(nn.Module):
    """Logits of every value of every field, from a learned sum of LayerNormed hidden states.

    All weights start at zero, so that a head depends on no random draw.
    """

    weight_VX: nn.Parameter

    def __init__(self, layers: int, width: int, sizes: Sequence[int], pooled: int) -> None:
        """`sizes`: values of each field; `pooled`: inputs of the last linear layer."""
        super().__init__()
        self.layers, self.width, self.sizes = layers, width, list(sizes)
        self.mix_L = nn.Parameter(torch.zeros(layers))
        self.weight_VX = nn.Parameter(torch.zeros(sum(sizes), pooled))
        self.bias_V = nn.Parameter(torch.zeros(sum(sizes)))

    def forward(self, x_LND: Tensor, frames: Sequence[int]) -> Tensor:
        """Logits, field after field (B, V), of cuts with so many frames each."""
        x_BTD = pad(torch.einsum("l,lnd->nd", self.mix_L.softmax(0), x_LND), frames)
        real_BT = torch.arange(x_BTD.shape[1], device=x_BTD.device) < torch.tensor(frames, device=x_BTD.device)[:, None]
        return self.score(x_BTD, real_BT) + self.bias_V

    def score(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        """(B, V); frames that are not real are padding."""
        raise NotImplementedError

    def best(self, logits_BV: Tensor) -> Tensor:
        """Index of each field's likeliest value (B, F)."""
        return torch.stack([logits.argmax(-1) for logits in logits_BV.split(self.sizes, -1)], dim=1)


class StatisticsHead(FieldHead):
    """One linear layer on the mean and the maximum over time."""

    def __init__(self, layers: int, width: int, sizes: Sequence[int]) -> None:
        super().__init__(layers, width, sizes, 2 * width)

    def score(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        mean_BD = (x_BTD * real_BT[..., None]).sum(1) / real_BT.sum(1, keepdim=True)
        max_BD = x_BTD.masked_fill(~real_BT[..., None], -torch.inf).amax(1)
        return F.linear(torch.cat([mean_BD, max_BD], dim=-1), self.weight_VX)


class AttentionHead(FieldHead):
    """Every value attends to its own frames: it is a word or a few, said somewhere in the cut.

    Its logit is the mean of a linear score of frames, weighted by a softmax over time of another one.
    """

    def __init__(self, layers: int, width: int, sizes: Sequence[int]) -> None:
        super().__init__(layers, width, sizes, width)
        self.query_VD = nn.Parameter(torch.zeros(sum(sizes), width))

    def score(self, x_BTD: Tensor, real_BT: Tensor) -> Tensor:
        attention_BTV = F.linear(x_BTD, self.query_VD).masked_fill(~real_BT[..., None], -torch.inf).softmax(1)
        return (attention_BTV * F.linear(x_BTD, self.weight_VX)).sum(1)


class FieldLearner:
    """Teaches a head the fields of these cuts: cross-entropy summed over fields, mean over cuts."""

    def __init__(self, fields: Fields, values: Mapping[str, Mapping[str, str]], pooling: str) -> None:
        """`values`: each field's value by cut id."""
        self.fields = fields
        self._wanted = {cut: fields.encode(own) for cut, own in values.items()}
        self._build = AttentionHead if pooling == "attention" else StatisticsHead

    def head(self, layers: int, width: int) -> FieldHead:
        return self._build(layers, width, self.fields.sizes)

    def loss(self, head: nn.Module, x_LND: Tensor, frames: Sequence[int], cuts: Sequence[MonoCut]) -> Tensor:
        logits_BV = head(x_LND, frames).float()
        wanted_BF = torch.tensor([self._wanted[cut.id] for cut in cuts], device=logits_BV.device)
        losses = [
            F.cross_entropy(logits, wanted_B, ignore_index=UNKNOWN, reduction="sum")
            for logits, wanted_B in zip(logits_BV.split(self.fields.sizes, -1), wanted_BF.unbind(1), strict=True)
        ]
        return torch.stack(losses).sum() / len(cuts)


class FieldHeadConfig(Settings):
    """What a kept head reads and decides."""

    kind: Literal["fields"] = "fields"
    fields: dict[str, list[str]]
    """Values of each field, in the order of the head's outputs."""
    pooling: Literal["attention", "mean+max"]
    """Of frames."""
    layers: PositiveInt
    """Hidden states that it mixes: the front end's and each block's."""
    width: PositiveInt
    """Width of the encoder."""


@dataclass(frozen=True)
class ChosenFieldHead:
    fields: Fields
    module: FieldHead
    tuned: Encoder | None
    """The encoder that was trained with the head; None where the head sits on the student as it is."""

    def save(self, folder: Path) -> None:
        config = FieldHeadConfig(
            fields={name: list(values) for name, values in self.fields.values.items()},
            pooling="attention" if isinstance(self.module, AttentionHead) else "mean+max",
            layers=self.module.layers,
            width=self.module.width,
        )
        save_head(folder, config, self.module, self.tuned)
