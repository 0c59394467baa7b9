"""Power spectra of windows of speech, by two convolutions and a matrix product, or by two matrix products.

The Fourier transform of a window is taken in two steps, as Cooley and Tukey do: along the rows of 16 samples that a
window consists of, then along the places in a row. Kaldi's windows begin at whole rows. So the first step is a
convolution over rows, which cuts out the windows and weights them as well, and the second is a matrix product. In
onnxruntime this takes a fifth of the time of its own transform, and in torch no more than torch's.

Shapes: B batch, S samples, T frames at 100 Hz, W samples of a window, R rows, P places in a row, I frequencies of the
first step, J of the second, C real and imaginary part, F frequencies.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from raysearch.encoder.frames import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES

FFT_POINTS = 512
PRE_EMPHASIS = 0.97
PLACES = 16
FREQUENCIES = FFT_POINTS // PLACES // 2 + 1
"""Frequencies of the first step of Kaldi's transform. Its windows fill 25 of 32 rows, and the others would be zero."""
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
            first_PIR, second_IJP = _two_steps(window_RP, FFT_POINTS)
            # What pre-emphasis leaves of a mean of 1.
            of_mean_IJ = (1 - PRE_EMPHASIS) * torch.einsum("ijp,pir->ij", second_IJP, first_PIR)
        self._keep("rows", rows_XK[:, None])
        self._keep("first", torch.view_as_real(first_PIR).movedim(-1, 2).reshape(-1, 1, WINDOW_ROWS))
        self._keep("second", _as_real(second_IJP))
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


class ExactSpectrum(nn.Module):
    """Squared magnitudes of weighted windows, of as many points as a window has samples, in double precision.

    A bin may lie far below the loudest one, where the rounding of a transform shows, and each runtime rounds in its own
    way. onnxruntime's own transform of 400 points, which are no power of two, takes ten times as long.
    """

    first: Tensor
    second: Tensor

    def __init__(self, window_W: Tensor) -> None:
        """`window_W` weights the samples of a window. They are a multiple of 16."""
        super().__init__()
        first_PIR, second_IJP = _two_steps(window_W.double().unflatten(0, (-1, PLACES)), len(window_W))
        first_PRIC = torch.view_as_real(first_PIR).transpose(1, 2)
        self.register_buffer("first", first_PRIC.flatten(2)[:, None].contiguous(), persistent=False)
        self.register_buffer("second", _as_real(second_IJP).mT[:, None].contiguous(), persistent=False)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> ExactSpectrum:
        # Where an encoder is cast, as by `float`, this follows it to its device alone.
        moved: ExactSpectrum = super()._apply(lambda step: step.to(fn(step).device), recurse)
        return moved

    def forward(self, windows_BTW: Tensor) -> Tensor:
        """Power (B, T, F) at the frequencies, in the order of `in_spectrum`."""
        x_PBTR = windows_BTW.double().unflatten(2, (-1, PLACES)).permute(3, 0, 1, 2)
        x_PBTIC = (x_PBTR @ self.first).unflatten(3, (-1, 2))
        # From here on X are the real and the imaginary parts at all places, or at all frequencies of the second step.
        x_IBTX = x_PBTIC.permute(3, 1, 2, 0, 4).flatten(3) @ self.second
        power_IBTCJ = (x_IBTX * x_IBTX).unflatten(3, (2, PLACES))
        return (power_IBTCJ[..., 0, :] + power_IBTCJ[..., 1, :]).permute(1, 2, 0, 3).flatten(2)


def in_spectrum(filters_KM: Tensor, points: int = FFT_POINTS) -> Tensor:
    """Filters (M, F) for what the spectra here give, from filters (K, M) for the frequencies in their order.

    They have the frequencies in another order, and some of them twice, of which one is left out here.
    """
    frequency_F = _frequencies(points).flatten()
    mirrored_F = torch.minimum(frequency_F, points - frequency_F)
    # The first frequency of the first step is real, and so is the last if its points are even. So what they give is
    # mirrored within itself.
    twice_F = (2 * frequency_F % (points // PLACES) == 0) & (frequency_F > points // 2)
    return filters_KM[mirrored_F].masked_fill(twice_F[:, None], 0.0).T.contiguous()


def _frequencies(points: int) -> Tensor:
    """The frequencies (I, J) that the two steps give. Samples are real, so the first step's others mirror these."""
    cycle = points // PLACES
    i_I, j_J = (torch.arange(count, device="cpu") for count in (cycle // 2 + 1, PLACES))
    return i_I[:, None] + cycle * j_J


def _two_steps(window_RP: Tensor, points: int) -> tuple[Tensor, Tensor]:
    """The transform of weighted windows as two steps (P, I, R) and (I, J, P), in complex numbers."""
    frequency_IJ = _frequencies(points)
    row_R, place_P = (torch.arange(count, device="cpu") for count in window_RP.shape)
    first_PIR = window_RP.T[:, None] * _turned(frequency_IJ[:, :1] * row_R, points // PLACES)
    return first_PIR, _turned(frequency_IJ[..., None] * place_P, points)


def _as_real(step_IJP: Tensor) -> Tensor:
    """The second step as matrices (I, 2 J, 2 P), which take and give real parts and imaginary parts."""
    step_IJPC = torch.stack([step_IJP, 1j * step_IJP], dim=-1)
    return torch.view_as_real(step_IJPC).movedim(-1, 1).flatten(3).flatten(1, 2)


def _turned(steps: Tensor, whole: int) -> Tensor:
    """Complex numbers of length 1, turned backwards by so many steps, of which `whole` make a full turn."""
    angle = -2 * math.pi * (steps % whole).double() / whole
    return torch.polar(torch.ones_like(angle), angle)
