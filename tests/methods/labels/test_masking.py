"""Span masks against the fractions that simulations of the original sampler gave (200 draws or more, three sigma)."""

import numpy as np
import pytest

from raysearch.methods.labels.masking import span_frames, span_mask

DRAWS = 400


def draw(frames, prob, span, rows=DRAWS, width=None, seed=0):
    frames_B = np.full(rows, frames)
    return span_mask(frames_B, width or frames, prob, span, np.random.default_rng(seed))


def runs(mask_BT):
    """Mean over rows of the mean length of runs of masked frames, counted edge by edge."""
    padded = np.pad(mask_BT.astype(int), ((0, 0), (1, 1)))
    return np.mean(mask_BT.sum(axis=1) / (np.diff(padded, axis=1) == 1).sum(axis=1))


@pytest.mark.parametrize(
    ("frames", "prob", "span", "fraction", "sigma", "run"),
    [
        (781, 0.80, 10, 0.569, 0.025, 16.4),
        (499, 0.80, 10, 0.568, 0.032, 16.5),
        (390, 0.80, 10, 0.569, 0.036, 16.3),
        (149, 0.80, 10, 0.573, 0.056, 16.7),
        (49, 0.80, 10, 0.569, 0.100, 16.7),
        (781, 0.65, 10, 0.492, 0.023, 14.8),
        (781, 0.80, 5, 0.583, 0.017, 8.7),
        (781, 0.70, 5, 0.528, 0.016, 8.1),
        (781, 0.80, 20, 0.558, 0.037, 32.0),
        (781, 0.08, 10, 0.078, 0.007, 10.5),
    ],
)
def test_mask_of_many_rows_then_fraction_and_runs_are_the_original_samplers(frames, prob, span, fraction, sigma, run):
    mask_BT = draw(frames, prob, span)
    # The reference means were themselves taken over about 200 draws and rounded to three digits.
    error = sigma * (1 / DRAWS + 1 / 200) ** 0.5 + 0.0005
    assert mask_BT.mean() == pytest.approx(fraction, abs=3 * error)
    assert runs(mask_BT) == pytest.approx(run, rel=0.06)


def test_mask_of_padded_rows_then_padding_and_last_frames_stay_unmasked():
    frames_B = np.array([1, 2, 3, 6, 10, 11, 12, 40])
    for seed in range(50):
        mask_BT = span_mask(frames_B, 45, 0.8, 10, np.random.default_rng(seed))
        for row, frames in zip(mask_BT, frames_B, strict=True):
            assert not row[frames - 1 :].any()
            assert row.any() == (frames > 1)


def test_mask_prob_zero_then_nothing_is_masked():
    assert not draw(50, 0.0, 10).any()


def test_mask_prob_one_on_short_rows_then_one_frame_is_seen():
    mask_BT = draw(6, 1.0, 1)
    assert (~mask_BT).sum(axis=1).min() >= 1


def test_mask_with_rows_of_other_lengths_then_rows_keep_their_own_counts():
    frames_B = np.array([49] * 200 + [781] * 200)
    mask_BT = span_mask(frames_B, 781, 0.8, 10, np.random.default_rng(0))
    assert mask_BT[200:].mean() == pytest.approx(0.569, abs=0.01)


def test_mask_with_one_seed_then_it_repeats():
    np.testing.assert_array_equal(draw(80, 0.8, 10, rows=3), draw(80, 0.8, 10, rows=3))


@pytest.mark.parametrize(("frame_hz", "frames"), [(50, 10), (25, 5), (1, 1)])
def test_span_in_milliseconds_then_frames_of_the_rate(frame_hz, frames):
    assert span_frames(200, frame_hz) == frames
