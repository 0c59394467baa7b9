"""Log-mel filterbank features as Kaldi defines them, batched, on any device.

Shapes: B batch, S samples, T frames at 100 Hz, F frequencies, M mel bins.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from raysearch.encoder.config import HIGHEST_HZ, SAMPLE_RATE_HZ
from raysearch.encoder.filterbanks.power_spectrum import FFT_POINTS, PowerSpectrum, in_spectrum
from raysearch.encoder.frames import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES, valid_mask

LOWEST_HZ = 20.0
LEAST_STD = 0.1
"""Smallest deviation of a bin that is divided by, in units of the natural logarithm of power. It is 0.4 dB. Where there
is speech, bins deviate by 2 to 3."""


class LogMelFilterbank(nn.Module):
    """Log power in mel bins, in 25 ms windows every 10 ms, normalised by the corpus's mean and deviation.

    With a range, values are relative to the recording's loudest one and are cut off that many decibels below it.

    Source: Kaldi's fbank with snip_edges and without dither. Samples are scaled to 16 bits, as Kaldi reads them.
    """

    filters_MF: Tensor
    mean_M: Tensor
    std_M: Tensor

    def __init__(self, bins: int, range_db: float = 0.0, highest_hz: float = HIGHEST_HZ) -> None:
        """A filterbank that is not normalised yet. A `range_db` of 0 keeps levels as they are."""
        super().__init__()
        self.range_db, self.highest_hz = range_db, highest_hz
        self.spectrum = PowerSpectrum()
        # Checkpoints do not hold the filters either.
        self.register_buffer("filters_MF", in_spectrum(mel_filters(bins, highest_hz)), persistent=False)
        self.register_buffer("mean_M", torch.zeros(bins))
        self.register_buffer("std_M", torch.ones(bins))

    def set_normalisation(self, mean_M: Tensor, std_M: Tensor) -> None:
        """Sets mean and deviation of the bins. A bin that deviates by less than 0.1 is constant and is divided by 1.

        A smaller divisor would blow up what an augmentation puts into a band that is empty in the corpus.
        """
        self.mean_M.copy_(mean_M)
        self.std_M.copy_(torch.where(std_M < LEAST_STD, 1.0, std_M))

    def forward(self, audio_BS: Tensor, frames_B: Tensor) -> Tensor:
        """Normalised bins (B, T, M) of audio in [-1, 1], or of what `log_mel` made of audio.

        The first `frames_B` frames of each row are valid.
        """
        return (self.levels(audio_BS, frames_B) - self.mean_M) / self.std_M

    def levels(self, audio_BS: Tensor, frames_B: Tensor) -> Tensor:
        """Bins (B, T, M), cut off below the range if there is one, not normalised."""
        x_BTM = audio_BS if audio_BS.ndim == 3 else self.log_mel(audio_BS)
        if not self.range_db:
            return x_BTM
        past_BT1 = ~valid_mask(frames_B, x_BTM.shape[1])[..., None]
        loudest_B11 = x_BTM.masked_fill(past_BT1, -torch.inf).amax((1, 2), keepdim=True)
        return (x_BTM - loudest_B11).clamp(min=-self.range_db * math.log(10) / 10)

    def log_mel(self, audio_BS: Tensor) -> Tensor:
        """Log-mel bins (B, T, M) of audio in [-1, 1], neither normalised nor cut off."""
        # The power of 16-bit samples overflows half precision.
        with torch.autocast(audio_BS.device.type, enabled=False):
            power_BFT = self.spectrum(audio_BS.to(self.filters_MF.dtype) * 2**15)
            x_BMT = (self.filters_MF @ power_BFT).clamp(min=torch.finfo(torch.float32).eps).log()
            # In order, so that an exported graph need not ask how the frames lie.
            return x_BMT.transpose(1, 2).contiguous()


def centre(x_BTM: Tensor, frames_B: Tensor) -> Tensor:
    """The bins, each minus its mean over the row's valid frames."""
    valid_BT1 = valid_mask(frames_B, x_BTM.shape[1])[..., None]
    mean_B1M = (x_BTM * valid_BT1).sum(1, keepdim=True) / frames_B[:, None, None].clamp(min=1)
    return x_BTM - mean_B1M


def mirrored(audio_BS: Tensor, samples_B: Tensor) -> Tensor:
    """The audio with its mirror image at both ends of each row, of which frames are made as without snip_edges.

    Source: Kaldi's ExtractWindow.
    """
    frames = (audio_BS.shape[1] + MEL_HOP_SAMPLES // 2) // MEL_HOP_SAMPLES
    seen = MEL_WINDOW_SAMPLES + (frames - 1) * MEL_HOP_SAMPLES
    place_X = torch.arange(seen, device=audio_BS.device) - (MEL_WINDOW_SAMPLES - MEL_HOP_SAMPLES) // 2
    place_X = torch.where(place_X < 0, -place_X - 1, place_X)
    end_B1 = samples_B.to(audio_BS.device)[:, None]
    # Past a mirror image there is padding alone, which no valid frame sees.
    place_BX = torch.where(place_X >= end_B1, 2 * end_B1 - 1 - place_X, place_X).clamp(min=0)
    return audio_BS.gather(1, place_BX)


def mel_filters(bins: int, highest_hz: float = HIGHEST_HZ) -> Tensor:
    """Mel filters (F, M) of frequencies in their order: triangles of equal width in mel, from 20 Hz to the highest."""
    corners = torch.linspace(_mel(LOWEST_HZ), _mel(highest_hz), bins + 2, dtype=torch.float64, device="cpu")
    hz = [bin * SAMPLE_RATE_HZ / FFT_POINTS for bin in range(FFT_POINTS // 2 + 1)]
    mels_F1 = torch.tensor([_mel(frequency) for frequency in hz], dtype=torch.float64, device="cpu")[:, None]
    left_M, centre_M, right_M = corners[:-2], corners[1:-1], corners[2:]
    rising_FM = (mels_F1 - left_M) / (centre_M - left_M)
    falling_FM = (right_M - mels_F1) / (right_M - centre_M)
    return torch.minimum(rising_FM, falling_FM).clamp(min=0).float()


def _mel(hz: float) -> float:
    return 1127.0 * math.log1p(hz / 700.0)
