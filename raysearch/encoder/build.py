"""Builds the untrained encoder that an encoder document describes, and sets the dropout of one that exists."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from raysearch.encoder.config import AnyConfig, ConvConfig
from raysearch.encoder.conv_encoder import ConvEncoder
from raysearch.encoder.encoder import Encoder


def build_encoder(config: AnyConfig, *, dropout: float = 0.0) -> Encoder:
    """An encoder with freshly drawn weights. `dropout` is the rate while it trains."""
    if isinstance(config, ConvConfig):
        return ConvEncoder(config, dropout=dropout)
    return Encoder(config, dropout=dropout)


def bare_encoder(config: AnyConfig) -> Encoder:
    """An encoder whose parameters and saved buffers lie on the meta device, for weights that exist already."""
    with _Undrawn(), torch.device("meta"):
        return build_encoder(config)


class _Undrawn(TorchFunctionMode):
    """Leaves out what draws the first weights. On the meta device it would draw nothing, and take most of the time."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return kwargs["tensor"]
        return func(*args, **kwargs)


def set_dropout(encoder: Encoder, rate: float) -> None:
    """Gives an encoder another rate of dropout, at which it goes on to be trained."""
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
