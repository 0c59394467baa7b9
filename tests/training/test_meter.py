import pytest
import torch

from raysearch.corpora.batches import Batch
from raysearch.training.meter import Meter

BATCH = Batch(audio_BS=torch.zeros(2, 16_000), samples_B=torch.tensor([16_000, 8_000]), cuts=[])


def test_means_are_over_the_updates_since_the_last_reading():
    meter = Meter()
    for loss in (9.0, 1.0, 3.0):
        meter.add(BATCH, {"loss": torch.tensor(loss)})
        if loss == 9.0:
            meter.read()
    metrics, elapsed_s = meter.read()
    assert metrics["train/loss"] == 2.0
    assert metrics["train/audio_s_per_s"] == pytest.approx(3.0 / elapsed_s)


def test_gpu_lanes_tell_their_peak_memory_and_cpu_lanes_nothing(monkeypatch):
    meter, resets = Meter(), []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3_000_000_000)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: resets.append(1))
    meter.add(BATCH, {"loss": torch.tensor(1.0)})
    assert meter.read()[0]["system/gpu_memory_gb"] == 3.0
    assert resets == [1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    meter.add(BATCH, {"loss": torch.tensor(1.0)})
    assert "system/gpu_memory_gb" not in meter.read()[0]
