"""Log-mel features against torchaudio's port of Kaldi."""

import math

import pytest
import torch
from torchaudio.compliance import kaldi

from raysearch.encoder.config import Blocks, EncoderConfig, LogMel
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.filterbanks.log_mel import LogMelFilterbank, mirrored
from raysearch.encoder.frames import mirrored_frames


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


@pytest.mark.parametrize("samples", [400, 479, 480, 12_345, 16_000])
def test_mirrored_recording_gives_kaldi_s_frames_without_snip_edges(samples: int) -> None:
    audio_S = 0.1 * torch.randn(samples)
    expected_TM = kaldi.fbank(audio_S[None] * 2**15, num_mel_bins=80, high_freq=7_600.0, snip_edges=False, dither=0.0)
    # In a batch, beside a longer recording: the mirror stands at the end of each row.
    audio_BS = torch.randn(2, samples + 777)
    audio_BS[0, :samples] = audio_S
    seen_BS = mirrored(audio_BS, torch.tensor([samples, samples + 777]))
    bins_BTM = LogMelFilterbank(80, highest_hz=7_600.0).log_mel(seen_BS)
    frames = mirrored_frames(samples)
    assert frames == len(expected_TM)
    torch.testing.assert_close(bins_BTM[0, :frames], expected_TM, atol=1e-3, rtol=0)


def test_mirrored_frames_are_counted_and_placed_as_they_are_made() -> None:
    front_end = LogMel(channels=[4, 4], mirrored=True, highest_hz=7_600.0)
    blocks = Blocks(count=1, heads=1, head_width=16, ffn=8)
    encoder = Encoder(EncoderConfig(front_end=front_end, width=16, blocks=blocks)).eval()
    assert encoder.config.first_sample == 80
    for samples in (399, 400, 1_600, 12_345):
        counted = encoder.frames(samples)
        if samples < 400:
            assert counted == 0
            continue
        encoded = encoder(torch.randn(1, samples), torch.tensor([samples]))
        assert encoded.output_BTD.shape[1] == encoded.frames_B.item() == counted
