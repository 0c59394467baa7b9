"""Counts the frames that a front end makes of so many samples, and marks the valid frames of a batch.

The same functions count ints and integer tensors. With ints they need no torch.

Shapes: B batch, T frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from raysearch.encoder.config import AnyConfig, ConvConfig, EncoderConfig, LogMel, Waveform, Whisper

if TYPE_CHECKING:
    from torch import Tensor

MEL_WINDOW_SAMPLES = 400
MEL_HOP_SAMPLES = 160

Count = TypeVar("Count", int, "Tensor")


def frames(config: AnyConfig, samples: Count) -> Count:
    """Frames that the encoder makes of so many samples at 16 kHz. It is 0 if they are fewer than one frame sees."""
    if isinstance(config, ConvConfig):
        return mel_frames(samples) >> len(config.channels)
    reduction, block = config.time_reduction, block_frames(config, feature_frames(config, samples))
    return block * reduction.factor if reduction and reduction.repeated else block


def feature_frames(config: EncoderConfig, samples: Count) -> Count:
    """Frames that the front end makes of so many samples."""
    return conv_frames(config.front_end, samples)[-1]


def block_frames(config: EncoderConfig, features: Count) -> Count:
    """Frames that the blocks see of so many that the front end makes."""
    return features // config.time_reduction.factor if config.time_reduction else features


def is_too_long(config: AnyConfig, samples: int) -> bool:
    """Whether a recording of so many samples has more frames than the encoder has positions for. Most have no end."""
    if isinstance(config, ConvConfig):
        return False
    most = config.sinusoids
    return most is not None and feature_frames(config, samples) > most


def conv_frames(front_end: Waveform | LogMel | Whisper, samples: Count) -> list[Count]:
    """Frames before the first convolution and after each one. For a waveform the first entry is `samples` itself."""
    if isinstance(front_end, LogMel | Whisper):
        # Whisper's windows are centred on multiples of the hop, so each hop of samples makes a frame.
        counts = [_bins(front_end, samples)]
        # The input is padded by half of an odd kernel. The kernel then drops out of the count, which is
        # ceil(frames / stride), the same as with a kernel of 1.
        kernels = [1] * len(front_end.kernels)
    else:
        counts = [samples]
        kernels = front_end.kernels
    for kernel, stride in zip(kernels, front_end.strides, strict=True):
        counts.append(_strided(counts[-1], kernel, stride))
    return counts


def _bins(front_end: LogMel | Whisper, samples: Count) -> Count:
    if isinstance(front_end, Whisper):
        return samples // MEL_HOP_SAMPLES
    return mirrored_frames(samples) if front_end.mirrored else mel_frames(samples)


def mirrored_frames(samples: Count) -> Count:
    """Log-mel frames at 100 Hz of a mirrored recording of so many samples. One shorter than a window has none."""
    return (samples + MEL_HOP_SAMPLES // 2) // MEL_HOP_SAMPLES * (samples >= MEL_WINDOW_SAMPLES)


def mel_frames(samples: Count) -> Count:
    """Log-mel frames at 100 Hz that so many samples make."""
    return _strided(samples, MEL_WINDOW_SAMPLES, MEL_HOP_SAMPLES)


def valid_mask(frames_B: Tensor, width: int) -> Tensor:
    """Mask of booleans (B, T) with T = `width`: True in the first `frames_B` frames of each row, False in its padding.

    It works for samples in place of frames, too.
    """
    # Imported here, since costs are computed without torch.
    import torch

    return torch.arange(width, device=frames_B.device) < frames_B[:, None]


def _strided(count: Count, kernel: int, stride: int) -> Count:
    views = (count - kernel) // stride + 1
    # A product in place of max(), which tensors do not share with ints.
    return views * (views > 0)
