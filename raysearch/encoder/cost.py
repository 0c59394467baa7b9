"""The cost of an encoder in closed form: MACs and parameters, without building it and without torch.

A MAC is one multiplication and one addition. Counted are convolutions, linear layers (WavLM's position gates too), the
position convolution (with the frame that an even kernel makes and that is trimmed), and the two matrix products of
attention: QK^T, and the attention weights times V. Norms, activations and mel filterbanks are not counted. Whisper's
sinusoids are no parameters: nothing trains them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from raysearch.encoder.config import (
    AnyConfig,
    Block,
    ConvConfig,
    EncoderConfig,
    LogMel,
    Waveform,
    Whisper,
    is_mirrored,
)
from raysearch.encoder.frames import conv_frames, mel_frames

FLOPS_PER_MAC = 2
"""Floating-point operations in a MAC: a multiplication and an addition."""
TRAINING_PASSES = 3
"""Cost of an update in forward passes: one forward pass, and a backward pass that costs as much as two."""
GATE_OUTPUTS = 8
"""Outputs of the linear layer that gates WavLM's relative positions. The published weights have two gates, and each is
the sum of four outputs."""
SUPERB_SAMPLES = (
    *(20560, 34560, 38480, 42560, 45600, 48720, 52000, 55120),
    *(59120, 62720, 66400, 71200, 75200, 78640, 82800, 87520),
    *(92720, 98560, 104400, 111120, 118480, 125040, 132720, 142640),
    *(154000, 166720, 180880, 197920, 217920, 239280, 268160, 326000),
)
"""Lengths in samples of the 32 utterances of LibriSpeech test-clean that SUPERB's profiler runs. Published MACs are the
sum over these utterances."""


MOST_PARAMS = 20_000_000_000
"""Most parameters of an encoder, ten times those of the largest that is published. More is a slip of the keyboard."""


class Sizes(NamedTuple):
    """How many units a front end and its blocks have: integers, or the counts that gates expect to keep, as tensors."""

    channels: Sequence[Any]
    """Output channels of each convolution of the front end."""
    heads: Sequence[Any]
    """Attention heads of each block."""
    ffn: Sequence[Any]
    """Hidden feed-forward units of each block."""


def macs(config: AnyConfig, samples: int) -> int:
    """MACs of the encoder for one utterance of `samples` samples, without the task's head."""
    return sum(cost_parts(config, samples).values())


def macs_superb(config: AnyConfig) -> int:
    """MACs of the encoder for SUPERB's 32 utterances, without the task's head. Published figures count the same."""
    return sum(cost_parts(config, SUPERB_SAMPLES).values())


def cost_parts(config: AnyConfig, samples: int | Sequence[int]) -> dict[str, int]:
    """MACs of each part of any encoder, for one utterance or for several together."""
    return _conv_parts(config, samples) if isinstance(config, ConvConfig) else parts(config, samples)


def parts(config: EncoderConfig, samples: int | Sequence[int], sizes: Sizes | None = None) -> dict[str, Any]:
    """MACs of each part of an encoder with a transformer, for one utterance or for several together.

    `sizes` replaces the config's unit counts. If it holds tensors, the result holds differentiable tensors: gates are
    trained against this cost.
    """
    lengths = (samples,) if isinstance(samples, int) else tuple(samples)
    channels, heads, ffn = sizes or sizes_of(config)
    front_end, width = config.front_end, config.width
    factor = config.time_reduction.factor if config.time_reduction else 1
    shape = (front_end.kind, is_mirrored(front_end), tuple(front_end.kernels), tuple(front_end.strides))
    sums = _frame_sums(*shape, factor, lengths)
    inner, mapped = _inner_widths(config, heads)
    gated = sum(_with_maps(config, heads)) * GATE_OUTPUTS * _gate_inputs(config)
    adapters = _adapter_units(config)
    positions = 0
    if (conv := config.position_conv) is not None:
        # The input is padded by half a kernel, so an even kernel makes one frame more than went in.
        places = sums.features + sums.utterances * (1 - conv.kernel % 2)
        positions = places * width * (width // conv.groups) * conv.kernel
    return {
        "front_end": sum(w * n for w, n in zip(_conv_weights(front_end, channels), sums.convs, strict=True)),
        "projection": sums.features * channels[-1] * width if config.projects else 0,
        "position_conv": positions,
        **({"time_reduction": sums.total * width * width * factor} if config.time_reduction else {}),
        # Values and the output of all blocks, and queries and keys of those that have maps of their own.
        "attention_linear": sums.total * (2 * width * (sum(inner) + sum(mapped)) + gated),
        "attention_matmul": sums.squares * (sum(inner) + sum(mapped)),
        "ffn": 2 * sums.total * width * sum(ffn),
        **({"adapters": 2 * sums.total * width * sum(adapters)} if adapters else {}),
    }


def params(config: AnyConfig) -> int:
    """Number of parameters of the encoder, without the task's head."""
    return sum(all_param_parts(config).values())


def all_param_parts(config: AnyConfig) -> dict[str, int]:
    """Number of parameters of each part of any encoder."""
    return _conv_param_parts(config) if isinstance(config, ConvConfig) else param_parts(config)


def check_size(config: AnyConfig) -> None:
    """Refuses an encoder that no machine could hold. Raises: ValueError."""
    if (count := params(config)) > MOST_PARAMS:
        raise ValueError(f"{count / 1e6:,.0f} million parameters; expected at most {MOST_PARAMS / 1e6:,.0f} million")


def param_parts(config: EncoderConfig, sizes: Sizes | None = None) -> dict[str, Any]:
    """Number of parameters of each part. `sizes` replaces the config's unit counts, as it does in `parts`."""
    channels, heads, ffn = sizes or sizes_of(config)
    width, pre = config.width, config.norm == "pre"
    inner, mapped = _inner_widths(config, heads)
    adapters, reduction = _adapter_units(config), config.time_reduction
    positions = 0
    if (conv := config.position_conv) is not None:
        # Weight norm splits the kernel into a direction and one length for each tap.
        positions = width * (width // conv.groups) * conv.kernel + width + conv.kernel
    attention = sum(_sub_layer_params(width, pre, count, 2 * width + 1) for count in inner)
    attention += (2 * width + 1 + config.key_bias) * sum(mapped)
    if (relative := config.relative_positions) is not None:
        # Each head has a scale of its own, the heads of a block share its gates, and all blocks share one table.
        gates = GATE_OUTPUTS * (_gate_inputs(config) + 1)
        own = _with_maps(config, heads)
        attention += sum(count + (gates if count else 0) for count in own) + relative.buckets * relative.heads
    return {
        "front_end": _front_end_params(config.front_end, channels),
        "projection": config.norms_features * 2 * channels[-1] + config.projects * (channels[-1] + 1) * width,
        # The encoder's own LayerNorm is counted here too.
        "position_conv": positions + 2 * width,
        **({"time_reduction": (width * reduction.factor + 1) * width} if reduction else {}),
        "attention": attention,
        "ffn": sum(_sub_layer_params(width, pre, count, 2 * width + 1) for count in ffn),
        **({"adapters": sum((2 * width + 1) * units + 3 * width for units in adapters)} if adapters else {}),
    }


def _conv_parts(config: ConvConfig, samples: int | Sequence[int]) -> dict[str, int]:
    mels = [mel_frames(n) for n in ((samples,) if isinstance(samples, int) else samples)]
    inputs, stages = [1, *config.channels[:-1]], range(len(config.channels))
    convs = sum(
        9 * i * o * (config.bins >> stage) * sum(n >> stage for n in mels)
        for stage, i, o in zip(stages, inputs, config.channels, strict=True)
    )
    frames = sum(n >> len(config.channels) for n in mels)
    return {
        "front_end": convs,
        "projection": frames * conv_features(config) * config.width,
        "linear": frames * config.width**2,
    }


def _conv_param_parts(config: ConvConfig) -> dict[str, int]:
    pairs = zip([1, *config.channels[:-1]], config.channels, strict=True)
    return {
        # A stage has 9 weights for each pair of channels, a bias, and the batch norm's gain and shift.
        "front_end": sum(9 * i * o + 3 * o for i, o in pairs),
        "projection": (conv_features(config) + 1) * config.width,
        "linear": (config.width + 1) * config.width,
    }


def conv_features(config: ConvConfig, stages: int | None = None) -> int:
    """Values in each frame after so many stages, channels x bins. By default these are all stages."""
    count = len(config.channels) if stages is None else stages
    return config.channels[count - 1] * (config.bins >> count)


def sizes_of(config: EncoderConfig) -> Sizes:
    """The unit counts that the config has."""
    blocks = config.block_list
    return Sizes(config.front_end.channels, [b.heads for b in blocks], [b.ffn for b in blocks])


def sized(config: EncoderConfig, sizes: Sizes) -> EncoderConfig:
    """The config with these unit counts in place of its own."""
    channels, heads, ffn = sizes
    front_end = config.front_end.model_copy(update={"channels": list(channels)})
    blocks = [
        Block(heads=h, head_width=block.head_width, ffn=f, adapter=block.adapter, reuses_map=block.reuses_map)
        for block, h, f in zip(config.block_list, heads, ffn, strict=True)
    ]
    return config.model_copy(update={"front_end": front_end, "blocks": blocks})


def in_multiples(count: float, full: int, multiple: int, least: int = 0) -> int:
    """The multiple of `multiple` nearest to `count`, or `full` if that is nearer. It is never less than `least`."""
    nearest = round(count / multiple) * multiple
    if nearest > full or full - count < abs(nearest - count):
        return full
    return nearest if nearest >= least else min(multiple, full)


class _FrameSums(NamedTuple):
    """Numbers of frames, summed over utterances."""

    convs: tuple[int, ...]
    """Frames after each convolution."""
    features: int
    """Frames that the front end makes."""
    total: int
    """Frames that the blocks read, which are fewer where time is reduced."""
    squares: int
    """Squared frames that the blocks read. The matrix products of attention grow with them."""
    utterances: int
    """Utterances that are long enough for a frame."""


# A search asks for thousands of costs, all for the same utterances and few front ends.
@lru_cache
def _frame_sums(
    kind: str,
    mirrored: bool,
    kernels: tuple[int, ...],
    strides: tuple[int, ...],
    factor: int,
    lengths: tuple[int, ...],
) -> _FrameSums:
    build = {"logmel": LogMel, "waveform": Waveform, "whisper": Whisper}[kind]
    more: dict[str, Any] = {"mirrored": True} if mirrored else {}
    front_end = build(channels=[1] * len(kernels), kernels=list(kernels), strides=list(strides), **more)
    counts = [conv_frames(front_end, length) for length in lengths]
    features = [count[-1] for count in counts]
    frames = [count // factor for count in features]
    convs = tuple(sum(layer) for layer in zip(*counts, strict=True))[1:]
    squares, utterances = sum(count * count for count in frames), sum(count > 0 for count in features)
    return _FrameSums(convs, sum(features), sum(frames), squares, utterances)


def _inner_widths(config: EncoderConfig, heads: Sequence[Any]) -> tuple[list[Any], list[Any]]:
    """The width of all heads of each block, and the same of the blocks that have an attention map of their own."""
    inner = [count * block.head_width for count, block in zip(heads, config.block_list, strict=True)]
    return inner, _with_maps(config, inner)


def _with_maps(config: EncoderConfig, each: Sequence[Any]) -> list[Any]:
    """Of what each block has, that of the blocks with an attention map of their own."""
    return [one for one, block in zip(each, config.block_list, strict=True) if not block.reuses_map]


def _adapter_units(config: EncoderConfig) -> list[int]:
    return [block.adapter.width for block in config.block_list if block.adapter]


def _conv_weights(front_end: Waveform | LogMel | Whisper, channels: Sequence[Any]) -> list[Any]:
    # A gated linear unit reads two outputs for each channel.
    outputs = 2 if isinstance(front_end, LogMel) else 1
    inputs = [1 if isinstance(front_end, Waveform) else front_end.bins, *channels[:-1]]
    return [i * outputs * o * k for i, o, k in zip(inputs, channels, front_end.kernels, strict=True)]


def _front_end_params(front_end: Waveform | LogMel | Whisper, channels: Sequence[Any]) -> Any:
    weights = sum(_conv_weights(front_end, channels))
    if isinstance(front_end, LogMel):
        return weights + 2 * sum(channels)
    if isinstance(front_end, Whisper):
        return weights + sum(channels)
    norms = 2 * sum(channels) if front_end.norm == "layer" else 2 * channels[0]
    return weights + norms + (sum(channels) if front_end.bias else 0)


def _gate_inputs(config: EncoderConfig) -> int:
    """Channels that each head's position gate reads. It is 0 without relative positions."""
    return config.width // config.relative_positions.heads if config.relative_positions else 0


def _sub_layer_params(width: int, pre: bool, units: Any, per_unit: int) -> Any:
    # A sub-layer without units keeps its output bias, but a norm in front of it has nothing to do and is dropped.
    norm = 0 if pre and not units else 2 * width
    return norm + per_unit * units + width
