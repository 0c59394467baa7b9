"""The two steps of the power spectrum against a plain Fourier transform in double precision."""

import pytest
import torch
from torch import Tensor

from raysearch.encoder.filterbanks.power_spectrum import (
    FFT_POINTS,
    PRE_EMPHASIS,
    ExactSpectrum,
    PowerSpectrum,
    in_spectrum,
)
from raysearch.encoder.frames import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES


def plain(audio_BS: Tensor) -> Tensor:
    """Power (B, F, T) as Kaldi defines it, window by window."""
    windows_BTS = audio_BS.double().unfold(1, MEL_WINDOW_SAMPLES, MEL_HOP_SAMPLES)
    windows_BTS = windows_BTS - windows_BTS.mean(-1, keepdim=True)
    before_BTS = torch.cat([windows_BTS[..., :1], windows_BTS[..., :-1]], dim=-1)
    window_S = torch.hann_window(MEL_WINDOW_SAMPLES, periodic=False, dtype=torch.float64).pow(0.85)
    emphasised_BTS = (windows_BTS - PRE_EMPHASIS * before_BTS) * window_S
    return torch.fft.rfft(emphasised_BTS, n=FFT_POINTS).abs().square().transpose(1, 2)


@pytest.mark.parametrize("samples", [400, 559, 560, 4_001])
def test_power_of_each_frequency_is_that_of_the_plain_transform(samples: int) -> None:
    audio_BS = torch.randn(2, samples)
    power_BFT = in_spectrum(torch.eye(FFT_POINTS // 2 + 1)) @ PowerSpectrum()(audio_BS)
    torch.testing.assert_close(power_BFT.double(), plain(audio_BS), rtol=1e-4, atol=1e-3)


def test_constant_offset_does_not_hide_quiet_speech() -> None:
    audio_BS = 1e-3 * torch.randn(1, 8_000)
    every_FK = in_spectrum(torch.eye(FFT_POINTS // 2 + 1))
    power_BFT, shifted_BFT = (every_FK @ PowerSpectrum()(audio_BS + offset) for offset in (0.0, 0.5))
    torch.testing.assert_close(shifted_BFT.log()[:, 1:], power_BFT.log()[:, 1:], rtol=0, atol=0.1)


def test_spectrum_is_whole_where_a_model_is_built_without_memory() -> None:
    with torch.device("meta"):
        spectrum = PowerSpectrum()
    audio_BS = torch.randn(1, 1_000)
    torch.testing.assert_close(spectrum(audio_BS), PowerSpectrum()(audio_BS))


def test_exact_power_is_that_of_the_plain_transform_far_below_the_loudest_frequency_too() -> None:
    windows_BTW = torch.sin(torch.arange(4_000, dtype=torch.float64)).unfold(0, MEL_WINDOW_SAMPLES, 160)[None]
    window_W = torch.hann_window(MEL_WINDOW_SAMPLES, dtype=torch.float64)
    every_FK = in_spectrum(torch.eye(MEL_WINDOW_SAMPLES // 2 + 1), MEL_WINDOW_SAMPLES).T.double()
    power_BTK = ExactSpectrum(window_W)(windows_BTW) @ every_FK
    expected_BTK = torch.fft.rfft(windows_BTW * window_W).abs().square()
    assert expected_BTK.amin() < 1e-10 * expected_BTK.amax()
    torch.testing.assert_close(power_BTK, expected_BTK, rtol=1e-7, atol=0)
