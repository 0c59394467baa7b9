"""Lays frames of one rate on the frames of another.

This is exact among waveform, Kaldi MFCC and log-mel frames, which are all centred at 12.5 ms + t x hop: the centres of
slower frames are among those of faster ones. Whisper's frames are centred at t x hop, and the nearest ones are taken.

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
    shift = (2 * later + from_hop) // (2 * from_hop)
    source_T = np.maximum(np.arange(frames) * to_hop // from_hop + shift, 0)
    # Number of the frames whose source frame exists.
    covered = int(np.searchsorted(source_T, len(x)))
    if frames - covered > 1 or not len(x):
        got = f"{len(x)} frames at {_hz(from_hop)} cover {covered} of {frames} frames at {_hz(to_hop)}"
        raise ValueError(f"{got}; expected at most one to be missing")
    return x[np.minimum(source_T, len(x) - 1)]


def _hz(hop_samples: int) -> str:
    return f"{SAMPLE_RATE_HZ / hop_samples:g} Hz"
