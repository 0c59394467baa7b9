"""Log-mel bins as Whisper defines them, batched, on any device.

Shapes: B batch, S samples, T frames at 100 Hz, W samples of a window, F frequencies, M mel bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.encoder.filterbanks.power_spectrum import ExactSpectrum, in_spectrum
from raysearch.encoder.frames import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES, valid_mask

LEAST_POWER = 1e-10
RANGE = 8.0
"""Powers of ten below a recording's loudest bin at which bins are cut off."""
_BREAK_HZ, _HZ_PER_MEL = 1000.0, 200 / 3
"""Slaney's mel scale is linear up to 1 kHz, with so many Hz in a mel."""
_MEL_RATIO = 6.4 ** (1 / 27)
"""Above 1 kHz a mel is this ratio of two frequencies."""


class WhisperMel(nn.Module):
    """Log power in Slaney's mel bins, in 25 ms windows centred every 10 ms, from the recording's loudest bin to 80 dB
    below it.

    A recording is reflected at both ends, each row of a batch at its own.
    Source: Radford et al., Whisper, 2022, section 2.2; scale and area of the filters as in librosa.
    """

    filters_FM: Tensor

    def __init__(self, bins: int) -> None:
        super().__init__()
        # Checkpoints do not hold these. So they are computed on the CPU, even where all else is built on the meta
        # device and filled from a checkpoint afterwards.
        self.spectrum = ExactSpectrum(torch.hann_window(MEL_WINDOW_SAMPLES, dtype=torch.float64, device="cpu"))
        filters_MF = in_spectrum(slaney_filters(bins), MEL_WINDOW_SAMPLES)
        self.register_buffer("filters_FM", filters_MF.T.contiguous(), persistent=False)

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> Tensor:
        """Bins (B, T, M) of audio in [-1, 1]. The first `samples_B` // 160 frames of each row are valid."""
        # Squared magnitudes lose too much in half precision.
        with torch.autocast(audio_BS.device.type, enabled=False):
            windows_BTW = _reflected(audio_BS.float(), samples_B).unfold(1, MEL_WINDOW_SAMPLES, MEL_HOP_SAMPLES)
            power_BTF = self.spectrum(windows_BTW).to(self.filters_FM.dtype)
            x_BTM = (power_BTF @ self.filters_FM).clamp(min=LEAST_POWER).log10()
            past_BT1 = ~valid_mask(samples_B // MEL_HOP_SAMPLES, x_BTM.shape[1])[..., None]
            loudest_B11 = x_BTM.masked_fill(past_BT1, -torch.inf).amax((1, 2), keepdim=True)
            return (torch.maximum(x_BTM, loudest_B11 - RANGE) + 4) / 4


def _reflected(audio_BS: Tensor, samples_B: Tensor) -> Tensor:
    """All samples that windows see: each row is reflected at its first sample and, half a window long, at its last."""
    frames = audio_BS.shape[1] // MEL_HOP_SAMPLES
    # A window begins half its length before its centre. The one around the recording's end is left out, as in Whisper.
    seen = MEL_WINDOW_SAMPLES + (frames - 1) * MEL_HOP_SAMPLES
    place_X = (torch.arange(seen, device=audio_BS.device) - MEL_WINDOW_SAMPLES // 2).abs()
    last_B1 = samples_B[:, None] - 1
    # Past a reflection there is padding alone, which no valid frame sees.
    place_BX = torch.where(place_X > last_B1, 2 * last_B1 - place_X, place_X).clamp(min=0)
    return audio_BS.gather(1, place_BX)


def slaney_filters(bins: int) -> Tensor:
    """Mel filters (F, M) from 0 Hz to the Nyquist frequency: triangles of equal area, not of equal height."""
    top = _mel(SAMPLE_RATE_HZ / 2)
    corners_hz = torch.tensor([_hz(top * i / (bins + 1)) for i in range(bins + 2)], dtype=torch.float64, device="cpu")
    points = MEL_WINDOW_SAMPLES // 2 + 1
    hz_F1 = torch.linspace(0, SAMPLE_RATE_HZ / 2, points, dtype=torch.float64, device="cpu")[:, None]
    left_M, centre_M, right_M = corners_hz[:-2], corners_hz[1:-1], corners_hz[2:]
    rising_FM = (hz_F1 - left_M) / (centre_M - left_M)
    falling_FM = (right_M - hz_F1) / (right_M - centre_M)
    return (torch.minimum(rising_FM, falling_FM).clamp(min=0) * 2 / (right_M - left_M)).float()


def _mel(hz: float) -> float:
    if hz < _BREAK_HZ:
        return hz / _HZ_PER_MEL
    return _BREAK_HZ / _HZ_PER_MEL + math.log(hz / _BREAK_HZ, _MEL_RATIO)


def _hz(mel: float) -> float:
    above = mel - _BREAK_HZ / _HZ_PER_MEL
    return mel * _HZ_PER_MEL if above < 0 else _BREAK_HZ * _MEL_RATIO**above
