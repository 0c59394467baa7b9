"""Frame grids: the identities that make labels of one rate fit frames of another."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raysearch.errors import InputError
from raysearch.targets.align import align_frames, frames_covered


def _waveform_frames(samples: int) -> int:
    """50 Hz frames, layer by layer through the seven convolutions."""
    for kernel, stride in zip((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2), strict=True):
        samples = (samples - kernel) // stride + 1
    return samples


def _kaldi_frames(samples: int, strided_convs: int) -> int:
    """100 Hz windows, halved by centred convolutions of kernel 5, stride 2, padding 2."""
    frames = (samples - 400) // 160 + 1
    for _ in range(strided_convs):
        frames = (frames + 4 - 5) // 2 + 1
    return frames


@given(samples=st.integers(400, 400_000))
def test_slower_grid_always_is_every_rth_frame(samples: int) -> None:
    frames_100 = np.arange(_kaldi_frames(samples, 0))
    frames_50 = np.arange(_waveform_frames(samples))
    to_50 = align_frames(frames_100, 160, 320, _waveform_frames(samples))
    to_25 = align_frames(frames_50, 320, 640, _kaldi_frames(samples, 2))
    np.testing.assert_array_equal(to_50, frames_100[::2])
    np.testing.assert_array_equal(to_25, frames_50[::2])


@given(samples=st.integers(400, 400_000))
def test_faster_grid_always_repeats_and_loses_nothing(samples: int) -> None:
    frames_25 = np.arange(_kaldi_frames(samples, 2))
    to_50 = align_frames(frames_25, 640, 320, _waveform_frames(samples))
    np.testing.assert_array_equal(to_50, np.repeat(frames_25, 2)[: len(to_50)])
    np.testing.assert_array_equal(align_frames(to_50, 320, 640, len(frames_25)), frames_25)


def test_same_rate_is_itself() -> None:
    np.testing.assert_array_equal(align_frames(np.array([4, 7, 9]), 320, 320, 3), [4, 7, 9])


def test_tensor_with_features_keeps_its_other_axes() -> None:
    feats_TD = torch.randn(5, 3)
    assert torch.equal(align_frames(feats_TD, 320, 640, 3), feats_TD[::2])


def test_one_missing_frame_repeats_the_last() -> None:
    np.testing.assert_array_equal(align_frames(np.array([4, 7]), 320, 320, 3), [4, 7, 7])
    np.testing.assert_array_equal(align_frames(np.array([4, 7, 9, 1]), 320, 640, 3), [4, 9, 1])


def test_two_missing_frames_are_refused() -> None:
    with pytest.raises(ValueError, match="2 frames at 50 Hz cover 2 of 4"):
        align_frames(np.array([4, 7]), 320, 320, 4)


def test_rates_without_common_grid_are_refused() -> None:
    with pytest.raises(InputError, match=r"frames at 33\.3333 Hz; expected a multiple or a divisor of .* 50 Hz"):
        align_frames(np.arange(9), 320, 480, 6)


@given(
    count=st.integers(1, 200),
    hops=st.sampled_from([(320, 320), (320, 640), (160, 640), (640, 320)]),
    later=st.sampled_from([0, 200, -200]),
)
def test_frames_covered_always_are_those_that_need_no_repetition(count: int, hops: tuple[int, int], later: int) -> None:
    covered = frames_covered(count, *hops, later)
    # The frames' numbers as a straight line: where it ends, there is no further frame to take.
    centres = np.arange(covered + 1) * hops[1] // hops[0] + (2 * later + hops[0]) // (2 * hops[0])
    assert centres[-1] >= count
    assert np.all(centres[:-1] < count)
