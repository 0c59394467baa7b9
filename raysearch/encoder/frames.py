"""How many frames a front end makes of so many samples, and which frames of a batch they are.

Counting needs no torch: ints and integer tensors go through alike.

Shapes: B batch, T frames.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from raysearch.encoder.config import AnyConfig, ConvConfig, LogMel, Waveform

if TYPE_CHECKING:
    from torch import Tensor

MEL_WINDOW_SAMPLES = 400
MEL_HOP_SAMPLES = 160

Count = TypeVar("Count", int, "Tensor")


def frames(config: AnyConfig, samples: Count) -> Count:
    """Frames that the encoder gives for `samples` at 16 kHz; 0 where the audio is shorter than one view."""
    if isinstance(config, ConvConfig):
        return mel_frames(samples) >> len(config.channels)
    return conv_frames(config.front_end, samples)[-1]


def conv_frames(front_end: Waveform | LogMel, samples: Count) -> list[Count]:
    """Frames before the first convolution and after each one. A waveform's first entry is its samples."""
    if isinstance(front_end, LogMel):
        counts = [mel_frames(samples)]
        # Padded by half an odd kernel: the kernel drops out, and ceil(frames / stride) remains.
        kernels = [1] * len(front_end.kernels)
    else:
        counts = [samples]
        kernels = front_end.kernels
    for kernel, stride in zip(kernels, front_end.strides, strict=True):
        counts.append(_strided(counts[-1], kernel, stride))
    return counts


def mel_frames(samples: Count) -> Count:
    """Log-mel frames at 100 Hz."""
    return _strided(samples, MEL_WINDOW_SAMPLES, MEL_HOP_SAMPLES)


def valid_mask(frames_B: Tensor, width: int) -> Tensor:
    """Bool (B, T): True where a row that is `width` frames wide still holds one of its own, False where it is padding.

    Samples count as frames do.
    """
    import torch

    return torch.arange(width, device=frames_B.device) < frames_B[:, None]


def _strided(count: Count, kernel: int, stride: int) -> Count:
    views = (count - kernel) // stride + 1
    return views * (views > 0)
