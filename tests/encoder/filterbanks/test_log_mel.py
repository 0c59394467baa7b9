"""Log-mel features against torchaudio's port of Kaldi."""

import math

import pytest
import torch
from torchaudio.compliance import kaldi

from raysearch.encoder.filterbanks.log_mel import LogMelFilterbank


@pytest.mark.parametrize("bins", [80, 23])
@pytest.mark.parametrize("samples", [400, 719, 16_000, 31_999])
def test_log_mel_equals_kaldi(samples: int, bins: int) -> None:
    time_S = torch.arange(samples) / 16_000
    audio_S = 0.3 * torch.sin(2 * torch.pi * 440 * time_S) + 0.05 * torch.randn(samples) + 0.1
    expected_TM = kaldi.fbank(audio_S[None] * 2**15, num_mel_bins=bins, dither=0.0, window_type="povey")
    torch.testing.assert_close(LogMelFilterbank(bins).log_mel(audio_S[None])[0], expected_TM, atol=1e-3, rtol=0)


def test_log_mel_of_silence_is_the_floor() -> None:
    log_mel_BTM = LogMelFilterbank(80).log_mel(torch.zeros(1, 800))
    assert torch.equal(log_mel_BTM, torch.full((1, 3, 80), torch.finfo(torch.float32).eps).log())


def test_normalisation_is_applied_but_for_the_scale_of_constant_bins() -> None:
    filterbank, audio_BS = LogMelFilterbank(4), torch.randn(1, 4000)
    mean_M, std_M = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([2.0, 1.0, 0.5, 0.01])
    filterbank.set_normalisation(mean_M, std_M)
    expected_BTM = (filterbank.log_mel(audio_BS) - mean_M) / torch.tensor([2.0, 1.0, 0.5, 1.0])
    torch.testing.assert_close(filterbank(audio_BS, torch.tensor([23])), expected_BTM)


def test_log_mel_under_autocast_keeps_full_precision() -> None:
    filterbank, audio_BS = LogMelFilterbank(80), torch.randn(1, 4000)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        inside = filterbank.log_mel(audio_BS)
    assert torch.equal(inside, filterbank.log_mel(audio_BS))


def test_range_then_the_loudest_is_zero_and_nothing_lies_below_it() -> None:
    filterbank, audio_BS = LogMelFilterbank(8, range_db=20.0), torch.randn(1, 8000)
    audio_BS[:, 4000:] *= 1e-3  # 60 dB quieter
    levels_BTM = filterbank.levels(audio_BS, torch.tensor([48]))
    assert levels_BTM.max() == 0
    torch.testing.assert_close(levels_BTM[:, 26:].unique(), torch.tensor([-math.log(100)]))
    assert (levels_BTM[:, :20, -1] > -math.log(100)).all()


def test_range_then_frames_past_the_end_are_not_the_loudest() -> None:
    filterbank, audio_BS = LogMelFilterbank(8, range_db=20.0), torch.randn(1, 8000)
    alone_BTM = filterbank.levels(audio_BS[:, :4000], torch.tensor([23]))
    audio_BS[:, 4000:] *= 100
    torch.testing.assert_close(filterbank.levels(audio_BS, torch.tensor([23]))[:, :23], alone_BTM)
