"""Streamed features: which layer, without padding; MFCCs at 100 Hz."""

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torchaudio.compliance.kaldi import mfcc

from raysearch.encoder.config import Blocks, EncoderConfig, LogMel, Waveform
from raysearch.errors import InputError
from raysearch.targets.features import mfcc_features, resolve_layer, teacher_features

torch.set_num_threads(1)

LAYERWISE = Waveform(norm="layer")


@dataclass
class _Encoded:
    hidden: tuple[Tensor, ...]
    frames_B: Tensor


class _CountingEncoder(nn.Module):
    """Hidden state i is i plus the batch's mean."""

    def __init__(self, front_end: LogMel | Waveform) -> None:
        super().__init__()
        blocks = Blocks(count=3, heads=2, head_width=8, ffn=8)
        self.config = EncoderConfig(front_end=front_end, width=16, blocks=blocks)
        self.unused = nn.Parameter(torch.zeros(1))

    def forward(self, audio_BS: Tensor, samples_B: Tensor) -> _Encoded:
        frames_B = (samples_B - 400) // 320 + 1
        hidden = [torch.full((len(audio_BS), int(frames_B.max()), 16), layer) + audio_BS.mean() for layer in range(4)]
        return _Encoded(tuple(hidden), frames_B)


def _batch(*seconds: float) -> SimpleNamespace:
    """Cuts of ones, padded with zeros."""
    samples_B = torch.tensor([round(16_000 * length) for length in seconds])
    audio_BS = torch.zeros(len(seconds), int(samples_B.max()))
    for row, samples in enumerate(samples_B.tolist()):
        audio_BS[row, :samples] = 1
    cuts = [SimpleNamespace(id=f"{length} s") for length in seconds]
    return SimpleNamespace(audio_BS=audio_BS, samples_B=samples_B, cuts=cuts)


@pytest.mark.parametrize(("layer", "block"), [(1, 1), (3, 3), (-1, 3), (-3, 1)])
def test_layer_counts_from_one_or_from_the_last(layer: int, block: int) -> None:
    assert resolve_layer(layer, 3) == block


@pytest.mark.parametrize("layer", [0, 4, -4])
def test_layer_that_does_not_exist_is_refused(layer: int) -> None:
    with pytest.raises(InputError, match=rf"^targets\.layer: {layer}; expected 1 to 3"):
        next(teacher_features(_CountingEncoder(LAYERWISE), layer, [_batch(1)]))


def test_teacher_features_of_a_padded_batch_have_each_cuts_frames() -> None:
    feats = dict(teacher_features(_CountingEncoder(LAYERWISE), 2, [_batch(1, 2), _batch(0.5)]))
    assert {cut: feats_TD.shape for cut, feats_TD in feats.items()} == {
        "1 s": (49, 16),
        "2 s": (99, 16),
        "0.5 s": (24, 16),
    }
    assert feats["1 s"].dtype == np.float32
    np.testing.assert_allclose(feats["1 s"], 2.75)  # block 2, and three quarters of the batch are ones


def _tone_batch() -> SimpleNamespace:
    batch = _batch(1, 0.4)
    batch.audio_BS *= torch.sin(torch.arange(16_000) * 0.3) + 0.1 * torch.randn(
        2, 16_000, generator=torch.Generator().manual_seed(0)
    )
    return batch


def test_mfcc_has_39_dimensions_at_100_hz_without_padding() -> None:
    feats = dict(mfcc_features([_tone_batch()]))
    assert feats["1 s"].shape == (98, 39)
    assert feats["0.4 s"].shape == (38, 39)
    assert feats["1 s"].dtype == np.float32


def test_mfcc_deltas_are_the_regression_over_five_frames() -> None:
    batch = _tone_batch()
    feats_TD = dict(mfcc_features([batch]))["1 s"]
    cepstra_TD, deltas_TD, seconds_TD = np.split(feats_TD, 3, axis=1)
    np.testing.assert_array_equal(cepstra_TD, mfcc(batch.audio_BS[:1]).numpy())
    for before, after in ((cepstra_TD, deltas_TD), (deltas_TD, seconds_TD)):
        slope = sum(n * (before[10 + n] - before[10 - n]) for n in (1, 2)) / 10
        np.testing.assert_allclose(after[10], slope, rtol=1e-4, atol=1e-4)


def test_mfcc_of_a_cut_below_one_window_is_refused() -> None:
    with pytest.raises(InputError, match=r"cut 0\.01 s: 160 samples; expected at least 400"):
        list(mfcc_features([_batch(0.01)]))
