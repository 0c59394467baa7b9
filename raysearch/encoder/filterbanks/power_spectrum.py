"""Power spectra of windows of speech, by two convolutions and a matrix product.

The Fourier transform of a window is taken in two steps, as Cooley and Tukey do: along the rows of 16 samples that a
window consists of, then along the places in a row. Windows begin at whole rows. So the first step is a convolution over
rows, which cuts out the windows and weights them as well, and the second is a matrix product. In onnxruntime this takes
a fifth of the time of its own transform, and in torch no more than torch's.

Shapes: B batch, S samples, T frames at 100 Hz, R rows, P places in a row, I frequencies of the first step, J of the
second, C real and imaginary part, F frequencies.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.frames import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES

FFT_POINTS = 512
PRE_EMPHASIS = 0.97
PLACES = 16
CYCLE = FFT_POINTS // PLACES
"""Rows of the transform. A window fills the first 25 of them, and the others would hold zeros."""
FREQUENCIES = CYCLE // 2 + 1
"""Frequencies of the first step. Samples are real, so the others would mirror these."""
WINDOW_ROWS, HOP_ROWS = MEL_WINDOW_SAMPLES // PLACES, MEL_HOP_SAMPLES // PLACES


class PowerSpectrum(nn.Module):
    """Squared magnitudes of windows of 25 ms every 10 ms, each without its mean, pre-emphasised and weighted.

    Source: Kaldi's fbank with snip_edges. There, a window's first sample comes after itself, and here after the sample
    before it. That makes no difference, since a window weights its first sample with 0.
    """

    rows: Tensor
    first: Tensor
    second: Tensor
    of_mean: Tensor

    def __init__(self) -> None:
        super().__init__()
        # Checkpoints do not hold these. So they are computed on the CPU, even where all else is built on the meta
        # device and filled from a checkpoint afterwards.
        with torch.device("cpu"):
            # Each sample of a row less a share of the one before, and the mean of the row.
            emphasis_PK = F.pad(torch.eye(PLACES), (1, 0)) - PRE_EMPHASIS * F.pad(torch.eye(PLACES), (0, 1))
            mean_1K = F.pad(torch.full((1, PLACES), 1 / PLACES), (1, 0))
            rows_XK = torch.cat([emphasis_PK, mean_1K])
            window_RP = (
                torch.hann_window(MEL_WINDOW_SAMPLES, periodic=False).pow(0.85).double().view(WINDOW_ROWS, PLACES)
            )
            i_I, j_J, place_P = torch.arange(FREQUENCIES), torch.arange(PLACES), torch.arange(PLACES)
            first_PIR = window_RP.T[:, None] * _turned(i_I[:, None] * torch.arange(WINDOW_ROWS), CYCLE)
            frequency_IJ = i_I[:, None] + CYCLE * j_J
            second_IJP = _turned(frequency_IJ[..., None] * place_P, FFT_POINTS)
            # What pre-emphasis leaves of a mean of 1.
            of_mean_IJ = (1 - PRE_EMPHASIS) * torch.einsum("ijp,pir->ij", second_IJP, first_PIR)
            # A product with a complex number, as a matrix that takes and gives its real and its imaginary part.
            second_IJPC = torch.stack([second_IJP, 1j * second_IJP], dim=-1)
        self._keep("rows", rows_XK[:, None])
        self._keep("first", torch.view_as_real(first_PIR).movedim(-1, 2).reshape(-1, 1, WINDOW_ROWS))
        self._keep("second", torch.view_as_real(second_IJPC).movedim(-1, 1).flatten(3).flatten(1, 2))
        self._keep("of_mean", torch.view_as_real(of_mean_IJ).movedim(-1, 1).flatten(1)[..., None])

    def _keep(self, name: str, values: Tensor) -> None:
        self.register_buffer(name, values.float().contiguous(), persistent=False)

    def forward(self, audio_BS: Tensor) -> Tensor:
        """Power (B, F, T) at the frequencies, in the order of `in_spectrum`."""
        # Every window loses its own mean below. A constant offset would leave little precision for the rest by then.
        audio_BS = audio_BS - audio_BS[:, :MEL_WINDOW_SAMPLES].mean(1, keepdim=True)
        rows_BXR = F.conv1d(F.pad(audio_BS, (1, 0))[:, None], self.rows, stride=PLACES)
        x_BXT = F.conv1d(rows_BXR[:, :PLACES], self.first, stride=HOP_ROWS, groups=PLACES)
        # Not a convolution of width 1, which rounds in other ways in larger batches.
        x_BIXT = self.second @ x_BXT.unflatten(1, (PLACES, FREQUENCIES, 2)).transpose(1, 2).flatten(2, 3)
        mean_B1T = F.avg_pool1d(rows_BXR[:, PLACES:], WINDOW_ROWS, HOP_ROWS)
        x_BIXT = x_BIXT - self.of_mean * mean_B1T[:, None]
        # Not squared by name, which onnxruntime would compute as a power.
        power_BICJT = (x_BIXT * x_BIXT).unflatten(2, (2, PLACES))
        return (power_BICJT[:, :, 0] + power_BICJT[:, :, 1]).flatten(1, 2)


def in_spectrum(filters_KM: Tensor) -> Tensor:
    """Filters (M, F) for what a `PowerSpectrum` gives, from filters (K, M) for the frequencies in their order.

    A `PowerSpectrum` has the frequencies in another order, and some of them twice, of which one is left out here.
    """
    i_I, j_J = torch.arange(FREQUENCIES, device="cpu"), torch.arange(PLACES, device="cpu")
    frequency_F = (i_I[:, None] + CYCLE * j_J).flatten()
    mirrored_F = torch.minimum(frequency_F, FFT_POINTS - frequency_F)
    # The first and the last frequency of the first step are real. So what they give is mirrored within itself.
    twice_F = (frequency_F % (CYCLE // 2) == 0) & (frequency_F > FFT_POINTS // 2)
    return filters_KM[mirrored_F].masked_fill(twice_F[:, None], 0.0).T.contiguous()


def _turned(steps: Tensor, whole: int) -> Tensor:
    """Complex numbers of length 1, turned backwards by so many steps, of which `whole` make a full turn."""
    angle = -2 * math.pi * (steps % whole).double() / whole
    return torch.polar(torch.ones_like(angle), angle)
