"""The cost of a speaker back end, in closed form and without torch.

Sums and norms are free, as they are in `raysearch.encoder.cost`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence

from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig
from raysearch.encoder.frames import frames
from raysearch.tasks.settings import BackendSettings

KERNEL, DILATIONS, SCALE, BOTTLENECK = 5, (2, 3, 4), 8, 128
"""Sizes of ECAPA-TDNN: kernel of the first convolution, dilations of the blocks, parts of a block, units of its
squeeze."""
POOLED, ATTENTION = 1536, 256
"""Channels that ECAPA-TDNN pools, and hidden units of the attention that pools them."""
XVECTOR, XVECTOR_POOLED = ((5, 1), (3, 2), (3, 3), (1, 1), (1, 1)), 1500
"""Kernel and dilation of each layer of an x-vector, and the channels that it pools. Source: s3prl, sv_voxceleb1."""
LOST = sum((kernel - 1) * dilation for kernel, dilation in XVECTOR)
"""Frames by which an x-vector pools fewer than the encoder has, since its layers read no padding."""


def shortest(settings: BackendSettings) -> int:
    """Frames of the shortest cut that a back end can read."""
    return 1 + LOST if settings.kind == "xvector" else 1


def fewest_samples(config: AnyConfig, count: int) -> int:
    """Samples of the shortest recording of which an encoder makes so many frames."""
    return 1 + bisect_left(range(1, count * SAMPLE_RATE_HZ), count, key=lambda samples: frames(config, samples))


def backend_macs(settings: BackendSettings, config: AnyConfig, samples: int | Sequence[int]) -> int:
    """MACs of a back end behind this encoder, for one utterance or for several together, by their samples."""
    lengths = (samples,) if isinstance(samples, int) else samples
    counts = [frames(config, length) for length in lengths]
    spoken = sum(count > 0 for count in counts)
    if settings.kind == "linear":
        return spoken * 2 * config.width * settings.embedding
    if settings.kind == "xvector":
        return sum(_xvector_macs(settings, config.width, count) for count in counts if count > LOST)
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
    if settings.kind == "xvector":
        layers = [*_xvector_layers(settings), (2 * XVECTOR_POOLED, embedding), (embedding, embedding)]
        return mix + (width + 1) * settings.channels + sum((inputs + 1) * outputs for inputs, outputs in layers)
    c, part = settings.channels, settings.channels // SCALE
    # A layer has weights and biases, and its norm has two parameters for each output.
    block = 2 * (c * c + 3 * c) + (SCALE - 1) * (3 * part * part + 3 * part) + 2 * c * BOTTLENECK + BOTTLENECK + c
    join = len(DILATIONS) * c * POOLED + POOLED
    attention = 4 * POOLED * ATTENTION + 3 * ATTENTION + POOLED
    end = 4 * POOLED + 2 * POOLED * embedding + 3 * embedding
    return mix + KERNEL * width * c + 3 * c + len(DILATIONS) * block + join + attention + end


def _xvector_layers(settings: BackendSettings) -> list[tuple[int, int]]:
    """Inputs and outputs of the layers over time of an x-vector."""
    c, outputs = settings.channels, [*[settings.channels] * (len(XVECTOR) - 1), XVECTOR_POOLED]
    return [(kernel * c, count) for (kernel, _), count in zip(XVECTOR, outputs, strict=True)]


def _xvector_macs(settings: BackendSettings, width: int, count: int) -> int:
    """MACs of an x-vector on one utterance of so many frames, without the layer that only training has."""
    macs = count * width * settings.channels
    for (kernel, dilation), (inputs, outputs) in zip(XVECTOR, _xvector_layers(settings), strict=True):
        count -= (kernel - 1) * dilation
        macs += count * inputs * outputs
    return macs + 2 * XVECTOR_POOLED * settings.embedding
