"""The linear schedule: a curve worked out by hand."""

import pytest

from raysearch.training.schedule import linear


def test_linear_over_ten_updates_then_rises_over_two_and_falls_over_eight():
    expected = [1 / 3, 2 / 3, 8 / 8, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    assert [linear(step, 10, 0.2) for step in range(10)] == pytest.approx(expected)


def test_linear_at_hubert_scale_then_peaks_after_the_warmup():
    rates = {step: linear(step, 400_000, 0.08) for step in (0, 16_000, 32_000, 216_000, 399_999)}
    assert rates == pytest.approx({0: 3.1e-5, 16_000: 0.5, 32_000: 1, 216_000: 0.5, 399_999: 2.7e-6}, abs=1e-4)


def test_linear_without_warmup_then_starts_at_the_peak():
    assert linear(0, 5, 0.0) == 1


def test_linear_of_one_update_then_it_is_not_lost():
    assert linear(0, 1, 0.08) == 1
