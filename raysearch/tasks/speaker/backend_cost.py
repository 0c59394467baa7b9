"""The cost of a speaker back end, in closed form and without torch.

Sums and norms are free, as they are in `raysearch.encoder.cost`.
"""

from __future__ import annotations

from collections.abc import Sequence

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.frames import frames
from raysearch.tasks.settings import BackendSettings

KERNEL, DILATIONS, SCALE, BOTTLENECK = 5, (2, 3, 4), 8, 128
"""Sizes of ECAPA-TDNN: kernel of the first convolution, dilations of the blocks, parts of a block, units of its
squeeze."""
POOLED, ATTENTION = 1536, 256
"""Channels that ECAPA-TDNN pools, and hidden units of the attention that pools them."""


def backend_macs(settings: BackendSettings, config: AnyConfig, samples: int | Sequence[int]) -> int:
    """MACs of a back end behind this encoder, for one utterance or for several together, by their samples."""
    lengths = (samples,) if isinstance(samples, int) else samples
    counts = [frames(config, length) for length in lengths]
    spoken = sum(count > 0 for count in counts)
    if settings.kind == "linear":
        return spoken * 2 * config.width * settings.embedding
    c = settings.channels
    block = 2 * c * c + (SCALE - 1) * 3 * (c // SCALE) ** 2
    per_frame = KERNEL * config.width * c + len(DILATIONS) * (block + c * POOLED) + 4 * POOLED * ATTENTION
    once = len(DILATIONS) * 2 * c * BOTTLENECK + 2 * POOLED * settings.embedding
    return sum(counts) * per_frame + spoken * once


def backend_params(settings: BackendSettings, config: AnyConfig) -> int:
    """The number of parameters of a back end behind this encoder."""
    width, embedding = config.width, settings.embedding
    mix = config.depth + 1 if settings.layers == "sum" else 0
    if settings.kind == "linear":
        return mix + 2 * width * embedding + 3 * embedding
    c, part = settings.channels, settings.channels // SCALE
    # A layer has weights and biases, and its norm has two parameters for each output.
    block = 2 * (c * c + 3 * c) + (SCALE - 1) * (3 * part * part + 3 * part) + 2 * c * BOTTLENECK + BOTTLENECK + c
    join = len(DILATIONS) * c * POOLED + POOLED
    attention = 4 * POOLED * ATTENTION + 3 * ATTENTION + POOLED
    end = 4 * POOLED + 2 * POOLED * embedding + 3 * embedding
    return mix + KERNEL * width * c + 3 * c + len(DILATIONS) * block + join + attention + end
