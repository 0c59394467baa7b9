"""The pace: how fast a device trains and reads audio, and which of these speeds are measured and which assumed.

The device is this machine, or a kind of GPU that is not here. A pace turns multiply-accumulates into seconds.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.cost import FLOPS_PER_MAC
from raysearch.planning.throughput import NARROW, Throughput, measure_host, measure_reading, measure_training
from raysearch.spec.document import WorkerSettings
from raysearch.teachers.settings import TrainedTeacher
from raysearch.training.monitoring.utilisation import PEAK_TFLOPS

GPUS = {"a100": "NVIDIA A100", "h100": "NVIDIA H100", "h200": "NVIDIA H200"}
"""The kinds of GPU that a plan can be made for, and their names in `PEAK_TFLOPS`."""
HERE = "here"
"""Stands for this machine in place of a kind of GPU."""
ASSUMED_SHARES = (0.25, 0.09, 0.03)
"""Shares of a GPU's peak that training is assumed to reach, from quick to slow. The middle one is what a published run
comes to. DPHuBERT's README gives about six hours for 75,000 updates of 160 s on each of four A100. By our count that is
28 TFLOP/s a GPU, 9 % of the peak of 312. The others are about three times more and three times less."""


class Range(NamedTuple):
    """A figure with its likely value and the ends between which it is expected to lie.

    Speeds run from quick to slow, and so the times that follow from them run from short to long.
    """

    low: float
    likely: float
    high: float


@dataclass(frozen=True)
class Pace:
    """How fast one worker is."""

    macs_per_s: Range
    """Multiply-accumulates a second in training, from quick to slow."""
    fixed_s: float
    """Seconds that the host needs to start the operations of an update. No update is shorter."""
    reading_s: float
    """CPU seconds that one second of audio takes to read."""
    measured: tuple[str, ...]
    """Lines that tell a reader what was measured."""
    assumed: tuple[str, ...]
    """Lines that tell a reader what was assumed."""

    def seconds(self, macs: float, updates: float) -> Range:
        """Seconds of so many updates, which need so many multiply-accumulates in all."""
        return Range(*(max(macs / rate, updates * self.fixed_s) for rate in self.macs_per_s))


def pace_of_students(kind: str, students: tuple[AnyConfig, AnyConfig, AnyConfig], workers: WorkerSettings) -> Pace:
    """The pace of training on a kind of GPU, a key of `GPUS`, or on this machine (`here`).

    Measures this machine for some seconds. `students` are the cheapest, a middle and the dearest student of the space.
    """
    device = _device()
    here = workers.precision_on(gpu=device.type == "cuda")
    where = f"{_name(device)}, {here}, now"
    reading_s = measure_reading()
    reading = f"reading FLAC: {1 / reading_s:.0f} s of audio a second and CPU (noise, this machine, now)"
    if kind == HERE:
        speeds = [measure_training(config, device, here) for config in students]
        return _measured(speeds, reading_s, reading, where)
    # A GPU that is not here cannot be measured, and a laptop would need minutes for one update of HuBERT Base. This
    # machine can tell how long a host takes to start an update's operations.
    host_s = min(measure_host(config, device, here) for config in students)
    started = f"starting the operations of an update: {1000 * host_s:.2g} ms (students at width {NARROW}, {where})"
    peak = PEAK_TFLOPS[GPUS[kind]][workers.precision_on(gpu=True)]
    return _assumed(kind, peak, host_s, reading_s, (reading, started))


def pace_of_teacher(students: Pace, settings: TrainedTeacher) -> Pace:
    """The students' pace, with the speed at which this machine trains the teacher in place of theirs.

    The teacher is measured once, at its own shape and batch, so that its speed has no range. The pace still tells what
    was measured for the students.
    """
    device = _device()
    speed = measure_training(settings.encoder(), device, settings.precision, settings.batch_s)
    line = _line("teacher", speed, f"{_name(device)}, {settings.precision}, now")
    rate = Range(*3 * [speed.macs_per_s])
    return replace(students, macs_per_s=rate, fixed_s=speed.fixed_s, measured=(*students.measured, line))


def _measured(speeds: list[Throughput], reading_s: float, reading: str, where: str) -> Pace:
    lines = [
        _line(f"{which} student of those drawn", one, where)
        for which, one in zip(("cheapest", "middle", "dearest"), speeds, strict=True)
    ]
    rates = [one.macs_per_s for one in speeds]
    # The cheapest and the dearest student are often bound by memory, so that the middle one counts as likely.
    rate = Range(max(rates), rates[1], min(rates))
    alike = (
        "each student, and a teacher that it asks, is as fast as these three: memory-bound front ends make them differ"
    )
    return Pace(rate, speeds[0].fixed_s, reading_s, (reading, *lines), (alike,))


def _line(what: str, speed: Throughput, where: str) -> str:
    gflops = FLOPS_PER_MAC * speed.macs_per_s / 1e9
    return (
        f"training the {what}: {speed.audio_s / speed.update_s:.2g} s of audio a second, "
        f"{gflops:.2g} GFLOP/s; next to no audio takes {1000 * speed.fixed_s:.2g} ms ({where})"
    )


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU thread(s)"


def _assumed(kind: str, peak: float, host_s: float, reading_s: float, measured: tuple[str, ...]) -> Pace:
    shares = ", ".join(f"{share:.0%}" for share in ASSUMED_SHARES)
    source = f"{ASSUMED_SHARES[1]:.0%} is what DPHuBERT's published six hours on four A100 come to"
    assumed = (
        f"{kind}: {shares} of {peak} TFLOP/s; no {kind} was measured; {source}",
        f"an update on {kind} is never shorter than its operations take to start here",
    )
    rate = Range(*(share * peak * 1e12 / FLOPS_PER_MAC for share in ASSUMED_SHARES))
    return Pace(rate, host_s, reading_s, measured, assumed)
