"""Lays frames of one rate on the frames of another.

This is exact among waveform, Kaldi MFCC and log-mel frames, which are all centred at 12.5 ms + t x hop: the centres of
slower frames are among those of faster ones. Whisper's frames are centred at t x hop, those of a mirrored recording at
5 ms + t x hop, and the nearest ones are taken.

Shapes: T frames of the result.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

import numpy as np

from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError

if TYPE_CHECKING:
    import torch

Frames = TypeVar("Frames", np.ndarray, "torch.Tensor")


def align_frames(x: Frames, from_hop: int, to_hop: int, frames: int, later: int = 0) -> Frames:
    """`frames` frames, one every `to_hop` samples: every r-th frame of a faster `x`, or each frame of a slower one r
    times.

    `x` is a numpy array or a tensor with time first. Surplus frames are cut. If one frame is missing, the last one is
    repeated. The result's first frame is centred `later` samples after the first one of `x`.
    Raises: InputError if neither hop is a multiple of the other, ValueError if more than one frame is missing.
    """
    if from_hop % to_hop and to_hop % from_hop:
        expected = f"a multiple or a divisor of the labels' {_hz(from_hop)}"
        raise InputError(f"student.front_end: frames at {_hz(to_hop)}; expected {expected}")
    covered = min(frames, frames_covered(len(x), from_hop, to_hop, later))
    if frames - covered > 1 or not len(x):
        got = f"{len(x)} frames at {_hz(from_hop)} cover {covered} of {frames} frames at {_hz(to_hop)}"
        raise ValueError(f"{got}; expected at most one to be missing")
    source_T = np.maximum(np.arange(frames) * to_hop // from_hop + _shift(from_hop, later), 0)
    return x[np.minimum(source_T, len(x) - 1)]


def frames_covered(count: int, from_hop: int, to_hop: int, later: int = 0) -> int:
    """The number of frames, one every `to_hop` samples, that `count` frames of the other rate have a frame for.

    The first of them is centred `later` samples after the first of the others.
    """
    # The last of them is the last t with t x to_hop // from_hop + shift < count.
    return max(0, -((_shift(from_hop, later) - count) * from_hop // to_hop))


def _shift(from_hop: int, later: int) -> int:
    """The number of the frame that is nearest to a centre `later` samples after that of frame 0."""
    return (2 * later + from_hop) // (2 * from_hop)


def _hz(hop_samples: int) -> str:
    return f"{SAMPLE_RATE_HZ / hop_samples:g} Hz"
