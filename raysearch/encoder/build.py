"""Builds the untrained encoder that an encoder document describes, and sets the dropout of one that exists."""

from __future__ import annotations

from torch import nn

from raysearch.encoder.config import AnyConfig, ConvConfig
from raysearch.encoder.conv_encoder import ConvEncoder
from raysearch.encoder.encoder import Encoder


def build_encoder(config: AnyConfig, *, dropout: float = 0.0) -> Encoder:
    """An encoder with freshly drawn weights. `dropout` is the rate while it trains."""
    if isinstance(config, ConvConfig):
        return ConvEncoder(config, dropout=dropout)
    return Encoder(config, dropout=dropout)


def set_dropout(encoder: Encoder, rate: float) -> None:
    """Gives an encoder another rate of dropout, at which it goes on to be trained."""
    for module in encoder.modules():
        if isinstance(module, nn.Dropout):
            module.p = rate
