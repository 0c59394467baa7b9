import numpy as np
import torch

from raysearch.corpora.batches import Batch
from raysearch.corpora.windows import vary_speed, windowed


def batch(*lengths: int) -> Batch:
    audio_BS = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        audio_BS[row, :length] = torch.arange(1, length + 1)
    return Batch(audio_BS, torch.tensor(lengths), [])


def test_windowed_then_a_stretch_of_each_cut_and_short_ones_whole():
    found = windowed(batch(16_000, 4_000), 0.5, [0.9999, 0.5])
    assert found.samples_B.tolist() == [8_000, 4_000]
    assert found.audio_BS[0, [0, -1]].tolist() == [8_001, 16_000]
    assert found.audio_BS[1, 3_999:4_001].tolist() == [4_000, 0]


def test_windowed_by_zero_seconds_then_all():
    found = windowed(batch(16_000, 4_000), 0.0, [0.3, 0.5])
    assert torch.equal(found.audio_BS, batch(16_000, 4_000).audio_BS)


def test_speed_then_lengths_and_pitch_change_together():
    time_S = np.arange(16_000) / 16_000
    tone = torch.from_numpy(np.sin(2 * np.pi * 500 * time_S).astype(np.float32))[None].expand(20, -1)
    found = vary_speed(Batch(tone, torch.full((20,), 16_000), []), 0.25, np.random.default_rng(0))
    lengths = found.samples_B.numpy()
    assert 12_700 < lengths.min() < 14_000
    assert 18_000 < lengths.max() < 20_001
    for row_S, length in zip(found.audio_BS.numpy(), lengths, strict=True):
        peak_hz = np.abs(np.fft.rfft(row_S[:length])).argmax() * 16_000 / length
        assert abs(peak_hz - 500 * 16_000 / length) < 2


def test_speed_then_an_empty_band_stays_empty():
    time_S = np.arange(16_000) / 16_000
    tone = torch.from_numpy(np.sin(2 * np.pi * 3_500 * time_S).astype(np.float32))[None].expand(20, -1)
    found = vary_speed(Batch(tone, torch.full((20,), 16_000), []), 0.25, np.random.default_rng(0))
    for row_S, length in zip(found.audio_BS.numpy(), found.samples_B.tolist(), strict=True):
        spectrum = np.abs(np.fft.rfft(row_S[:length] * np.hanning(length)))
        above = np.arange(len(spectrum)) * 16_000 / length > 5_000
        assert spectrum[above].max() < 1e-4 * spectrum.max()
