"""Disturbs an encoder while it trains: masks spans of its features, and passes by some of its blocks.

An encoder knows nothing of either. Both are hooked to it from outside, and gone afterwards. Like dropout, they draw
from torch's global generator.

Source: Park et al., SpecAugment, Interspeech 2019, on projected features as wav2vec 2.0 (Baevski et al., 2020) does it;
Fan et al., LayerDrop, ICLR 2020. Deviations from wav2vec 2.0: masked frames become zero and not a learned vector, since
an encoder has none; the number of spans is drawn too.

Shapes: B batch, N places in a row, T frames, D width.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.transformer import TransformerBlock
from raysearch.tasks.settings import MaskSettings

MASKED_S = 0.2
"""Seconds of a span of masked frames. It is ten frames of wav2vec 2.0."""
CHANNEL_SPANS = 12
"""Width of an encoder over that of a span of masked channels, which is 64 of 768 in wav2vec 2.0."""


@contextmanager
def masked_features(encoder: Encoder, settings: MaskSettings) -> Iterator[None]:
    """Inside, spans of frames and of channels of the encoder's features are zero. They are drawn anew in every pass."""

    def mask(_: nn.Module, __: object, x_BTD: Tensor) -> Tensor:
        rows, frames, width = x_BTD.shape
        span_T = max(1, round(MASKED_S * encoder.config.frame_hz))
        hidden_BT = spans(rows, frames, settings.mask_time, span_T, x_BTD.device)
        hidden_BD = spans(rows, width, settings.mask_channels, max(1, width // CHANNEL_SPANS), x_BTD.device)
        return x_BTD.masked_fill(hidden_BT[:, :, None] | hidden_BD[:, None], 0.0)

    with ExitStack() as hooks:
        # Without masks nothing is drawn, so that dropout draws what it always drew.
        if settings.mask_time or settings.mask_channels:
            # Where there is neither projection nor norm, the front end makes the features itself.
            features = getattr(encoder, "projection", getattr(encoder, "feature_norm", encoder.front_end))
            hooks.callback(features.register_forward_hook(mask).remove)
        yield


@contextmanager
def dropped_blocks(encoder: Encoder, share: float) -> Iterator[None]:
    """Inside, each block is passed by with this probability. Which ones those are is drawn on entering.

    An encoder without a transformer has no blocks, and stays as it is.
    """
    blocks = [module for module in encoder.modules() if isinstance(module, TransformerBlock)] if share else []
    with ExitStack() as hooks:
        for block in blocks:
            if torch.rand(()) < share:
                # The attention map goes on: the next block may reuse it.
                hooks.callback(block.register_forward_hook(lambda _, given, made: (given[0], made[1])).remove)
        yield


def spans(rows: int, places: int, share: float, span: int, device: torch.device) -> Tensor:
    """Booleans (B, N), True in spans of this length whose lengths are expected to add up to this share of a row.

    Spans begin anywhere in their row and end with it. They may overlap.
    """
    if not share:
        return torch.zeros(rows, places, dtype=torch.bool, device=device)
    begins_BN = (torch.rand(rows, places, device=device) < share / span).float()
    # A place is masked if a span began there or at one of the places just before it.
    return F.max_pool1d(F.pad(begins_BN, (span - 1, 0))[:, None], span, stride=1)[:, 0] > 0
