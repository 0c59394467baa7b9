"""The heads of a supernet: one for each teacher block that is predicted, and one that reads what was said.

All sub-networks share them. A narrower one has the part of their weights that reads its channels.

Shapes: B batch, T frames, L teacher layers, W teacher width, N frames of several cuts end to end, D width, V symbols,
X any.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.supernet.sub_network import width_pieces
from raysearch.tasks.ctc.tokens import OutputHead


class FeatureHeads(nn.Module):
    """A linear layer for each teacher block, on the output of an encoder."""

    def __init__(self, width: int, blocks: int, teacher_width: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(width, teacher_width) for _ in range(blocks))

    def forward(self, output_BTD: Tensor) -> Tensor:
        """The predicted hidden states (L, B, T, W)."""
        return torch.stack([layer(output_BTD) for layer in self.layers])


class Heads(nn.Module):
    """All heads of a supernet, or those of a slice."""

    def __init__(self, config: EncoderConfig, blocks: int, teacher_width: int, symbols: int | None) -> None:
        """Heads on the output of an encoder with this config.

        `blocks` is the number of teacher blocks. Without `symbols`, which count a blank too, none reads what was said.
        """
        super().__init__()
        self.config = config
        self._sizes = (blocks, teacher_width, symbols)
        self.features = FeatureHeads(config.width, blocks, teacher_width)
        self.task = OutputHead(config.width, symbols) if symbols else None
        if self.task is not None:
            # As other CTC heads it begins with zeros, so that it depends on no draw.
            nn.init.zeros_(self.task.weight)
            nn.init.zeros_(self.task.bias)

    def of(self, width: int) -> tuple[nn.Module, nn.Module | None]:
        """The heads of a sub-network of this width, on the weights of the whole: for features, and for the task."""
        task = None if self.task is None else _Borrowing(self.task, self._parts(self.task, width))
        return _Borrowing(self.features, self._parts(self.features, width)), task

    def sliced(self, config: EncoderConfig) -> Heads:
        """The heads of a slice with this config, with weights of their own."""
        heads = Heads(config, *self._sizes)
        heads.load_state_dict({name: x.detach().clone() for name, x in self._parts(self, config.width).items()})
        return heads

    def _parts(self, module: nn.Module, width: int) -> dict[str, Tensor]:
        weights = dict(module.named_parameters())
        return {name: self._part(x, width) if x.ndim > 1 else x for name, x in weights.items()}

    def _part(self, weight_XD: Tensor, width: int) -> Tensor:
        pieces = width_pieces(self.config)
        return weight_XD.unflatten(1, (pieces, -1))[..., : width // pieces].flatten(1)


class _Borrowing(nn.Module):
    """A module that computes with other weights than its own. It has none itself."""

    def __init__(self, module: nn.Module, weights: Mapping[str, Tensor]) -> None:
        super().__init__()
        self._call = partial(functional_call, module, dict(weights))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = self._call((x,))
        return result
