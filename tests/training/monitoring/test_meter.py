"""What the meter says of a stretch of training."""

import pytest
import torch

from raysearch.encoder.cost import macs
from raysearch.methods.settings import StudentSettings
from raysearch.training.monitoring.meter import Meter
from raysearch.training.monitoring.utilisation import peak_flops

CONFIG = StudentSettings(depth=1, width=16, heads=2, channels=8, position_kernel=3).encoder()
SAMPLES_B = torch.tensor([16_000, 8_000])


def read_after(updates, peak=None):
    meter = Meter(CONFIG, peak)
    for _ in range(updates):
        meter.hear(SAMPLES_B)
        meter.add({"loss": torch.tensor(1.0)})
    return meter.read()


def test_means_are_over_the_updates_since_the_last_reading():
    meter = Meter(CONFIG, None)
    for loss in (9.0, 1.0, 3.0):
        meter.hear(SAMPLES_B)
        meter.add({"loss": torch.tensor(loss)})
        if loss == 9.0:
            meter.read()
    metrics, elapsed_s = meter.read()
    assert metrics["train/loss"] == 2.0
    assert metrics["train/audio_s_per_s"] == pytest.approx(3.0 / elapsed_s)


def test_all_batches_of_an_update_are_heard():
    meter = Meter(CONFIG, None)
    meter.hear(SAMPLES_B)
    meter.hear(SAMPLES_B)
    meter.add({"loss": torch.tensor(3.0)})
    metrics, elapsed_s = meter.read()
    assert metrics["train/loss"] == 3.0
    assert metrics["train/audio_s_per_s"] == pytest.approx(3.0 / elapsed_s)


def test_flops_are_six_a_mac_of_what_was_heard_and_no_share_without_a_known_peak():
    metrics, elapsed_s = read_after(3)
    heard = 3 * (macs(CONFIG, 16_000) + macs(CONFIG, 8_000))
    assert metrics["train/tflop_per_s"] == pytest.approx(6 * heard / elapsed_s / 1e12)
    assert "train/mfu_percent" not in metrics


def test_utilisation_is_the_share_of_the_peak():
    metrics, _ = read_after(2, peak=5e12)
    assert metrics["train/mfu_percent"] == pytest.approx(100 * metrics["train/tflop_per_s"] / 5)


def test_peak_is_that_of_the_device_and_precision(monkeypatch):
    gpu = torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "NVIDIA H100 80GB HBM3")
    assert peak_flops(gpu, "bf16") == 989e12
    assert peak_flops(gpu, "fp32") == 67e12
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "Abacus 1")
    assert peak_flops(gpu, "bf16") is None
    assert peak_flops(torch.device("cpu"), "fp32") is None


def test_gpu_lanes_tell_their_peak_memory_and_cpu_lanes_nothing(monkeypatch):
    resets = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda: 3_000_000_000)
    monkeypatch.setattr(torch.cuda, "reset_peak_memory_stats", lambda: resets.append(1))
    assert read_after(1)[0]["system/gpu_memory_gb"] == 3.0
    assert resets == [1]
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "system/gpu_memory_gb" not in read_after(1)[0]
