"""Measures how long a model takes on this machine to read some seconds of audio."""

from __future__ import annotations

import time

import numpy as np
from pydantic import Field, PositiveInt

from raysearch.deploy.runtime.transcribe import SAMPLE_RATE_HZ, Run
from raysearch.settings import Outcome

WARMUP, REPEATS = 3, 20
"""Runs that are not timed, and runs that are."""


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


def measure_latency(run: Run, load: Load) -> Latency:
    """The latency on noise, after a warm-up. `run` must have been made to use `load.threads` threads already."""
    samples = round(load.seconds * SAMPLE_RATE_HZ)
    # Noise will do: the time depends on the length alone.
    rng = np.random.default_rng(0)
    audio_BS = 0.1 * rng.standard_normal((load.batch, samples)).astype(np.float32)
    samples_B = np.full(load.batch, samples, dtype=np.int64)
    for _ in range(WARMUP):
        run(audio_BS, samples_B)
    times_ms = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        run(audio_BS, samples_B)
        times_ms.append(1000 * (time.perf_counter() - started))
    median = float(np.median(times_ms))
    rtf = median / 1000 / (load.batch * load.seconds)
    return Latency(**load.model_dump(), median_ms=median, p95_ms=float(np.percentile(times_ms, 95)), rtf=rtf)
