"""Measures how long a model takes on this machine to read some seconds of audio."""

from __future__ import annotations

import os
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PositiveInt

from raysearch.deploy.runtime.transcribe import SAMPLE_RATE_HZ, Audio, OnnxModel, Run
from raysearch.settings import Outcome

WARMUP, REPEATS = 3, 20
"""Runs that are not timed, and runs that are."""
UNDISTURBED = 0.97
"""A run counts as undisturbed if its thread had a core for this share of the time."""
TRIES = 10
"""Runs that are made at most for each that is asked for, while those that are undisturbed are too few."""


class Load(Outcome):
    """The circumstances under which a latency is measured."""

    threads: PositiveInt = 1
    """CPU threads that the model uses."""
    batch: PositiveInt = 1
    """Recordings that are read at once."""
    seconds: float = Field(10.0, ge=0.1)
    """Seconds of audio in each recording."""


class Latency(Load):
    """How long a batch took, and under which load."""

    median_ms: float
    """Median over the timed runs, in milliseconds."""
    p95_ms: float
    """95th percentile of the timed runs, in milliseconds."""
    rtf: float
    """Real-time factor: seconds of computing for each second of audio, by the median."""
    p5_ms: float | None = None
    """5th percentile of the timed runs, in milliseconds. None in exports of earlier versions."""
    disturbed: float | None = None
    """Share of these runs in which something else had the core for a moment. None in exports of earlier versions."""


def measure_latency(run: Run, load: Load, repeats: int = REPEATS) -> Latency:
    """The latency on noise, after a warm-up. `run` must have been made to use `load.threads` threads already.

    Runs in which the scheduler gave the core to something else for a moment say nothing about the model. They are made
    again, up to `TRIES` times in all, and the least disturbed ones count.
    """
    samples = round(load.seconds * SAMPLE_RATE_HZ)
    # Noise will do: the time depends on the length alone.
    rng = np.random.default_rng(0)
    audio_BS = 0.1 * rng.standard_normal((load.batch, samples)).astype(np.float32)
    samples_B = np.full(load.batch, samples, dtype=np.int64)
    for _ in range(WARMUP):
        run(audio_BS, samples_B)
    runs: list[tuple[float, float]] = []
    while sum(share >= UNDISTURBED for share, _ in runs) < repeats and len(runs) < TRIES * repeats:
        runs.append(_timed(run, audio_BS, samples_B))
    # Of equally undisturbed runs the first ones count: a choice of the fastest would be no median.
    least = sorted(runs, key=lambda one: -min(one[0], UNDISTURBED))[:repeats]
    times_ms = [time_ms for _, time_ms in least]
    low, median, high = (float(ms) for ms in np.percentile(times_ms, [5, 50, 95]))
    return Latency(
        **load.model_dump(),
        median_ms=median,
        p95_ms=high,
        rtf=median / 1000 / (load.batch * load.seconds),
        p5_ms=low,
        disturbed=sum(share < UNDISTURBED for share, _ in least) / repeats,
    )


def file_latency(content: bytes, load: Load, repeats: int, *, pinned: bool) -> Latency:
    """How long an ONNX file takes here. `pinned`: on the last cores that this process may use, one for each thread."""
    before = os.sched_getaffinity(0) if pinned else set()
    with TemporaryDirectory() as folder:
        file = Path(folder, "model.onnx")
        file.write_bytes(content)
        try:
            if pinned:
                os.sched_setaffinity(0, sorted(before)[-load.threads :])
            return measure_latency(OnnxModel(file, load.threads).run, load, repeats)
        finally:
            if pinned:
                os.sched_setaffinity(0, before)


def _timed(run: Run, audio_BS: Audio, samples_B: NDArray[np.int64]) -> tuple[float, float]:
    """The share of one run in which this thread had a core, and its time in milliseconds."""
    began_s, own_s = time.perf_counter(), time.thread_time()
    run(audio_BS, samples_B)
    took_s, worked_s = time.perf_counter() - began_s, time.thread_time() - own_s
    return worked_s / took_s, 1000 * took_s
