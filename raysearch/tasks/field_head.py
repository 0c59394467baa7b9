"""The head that decides fields, what teaches it, and how it is kept beside its student.

Shapes: B cuts, L layers, T frames, N frames of several cuts end to end, D width, F fields, V values of all fields.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from lhotse.cut import MonoCut
from pydantic import PositiveInt
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.settings import Settings
from raysearch.tasks.fields import UNKNOWN, Fields
from raysearch.tasks.head import DOCUMENT_NAME, HEAD_WEIGHTS_NAME


class FieldHead(nn.Module):
    """A learned sum of LayerNormed hidden states, its mean and its maximum over time, one linear layer.

    All start at zero, so that a head depends on no random draw.
    """

    def __init__(self, layers: int, width: int, sizes: Sequence[int]) -> None:
        super().__init__()
        self.sizes = list(sizes)
        self.mix_L = nn.Parameter(torch.zeros(layers))
        self.weight_VD = nn.Parameter(torch.zeros(sum(sizes), 2 * width))
        self.bias_V = nn.Parameter(torch.zeros(sum(sizes)))

    def forward(self, x_LND: Tensor, frames: Sequence[int]) -> Tensor:
        """Logits of all values, field after field (B, V), of cuts with so many frames each."""
        mixed_ND = torch.einsum("l,lnd->nd", self.mix_L.softmax(0), x_LND)
        pooled_BD = torch.stack([torch.cat([x_TD.mean(0), x_TD.amax(0)]) for x_TD in mixed_ND.split(list(frames))])
        return F.linear(pooled_BD, self.weight_VD, self.bias_V)

    def best(self, logits_BV: Tensor) -> Tensor:
        """Index of each field's likeliest value (B, F)."""
        return torch.stack([logits.argmax(-1) for logits in logits_BV.split(self.sizes, -1)], dim=1)


class FieldLearner:
    """Teaches a head the fields of these cuts: cross-entropy summed over fields, mean over cuts."""

    def __init__(self, fields: Fields, values: Mapping[str, Mapping[str, str]]) -> None:
        """`values`: each field's value by cut id."""
        self.fields = fields
        self._wanted = {cut: fields.encode(own) for cut, own in values.items()}

    def head(self, layers: int, width: int) -> FieldHead:
        return FieldHead(layers, width, self.fields.sizes)

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
        """Each file is replaced whole or not at all."""
        folder.mkdir(parents=True, exist_ok=True)
        if self.tuned is not None:
            save_encoder(self.tuned, folder)
        part = folder / f"{HEAD_WEIGHTS_NAME}.part"
        save_file({k: v.detach().cpu().contiguous() for k, v in self.module.state_dict().items()}, part)
        os.replace(part, folder / HEAD_WEIGHTS_NAME)
        config = FieldHeadConfig(
            fields={name: list(values) for name, values in self.fields.values.items()},
            layers=len(self.module.mix_L),
            width=self.module.weight_VD.shape[1] // 2,
        )
        part = folder / f"{DOCUMENT_NAME}.part"
        part.write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
        os.replace(part, folder / DOCUMENT_NAME)
