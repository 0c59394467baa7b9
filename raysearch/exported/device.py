"""What a device charges for a student: the size of its file, and the time that it takes there. And which device it is.

This file imports no torch, because documents are checked without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import nan
from typing import TYPE_CHECKING, Protocol

from pydantic import Field

from raysearch.exported.latency import REPEATS, Load
from raysearch.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Iterable

    from raysearch.encoder.config import AnyConfig
    from raysearch.exported.settings import Precision


class DeviceSettings(Settings):
    """What latency is measured on, and under which load."""

    resource: str | None = Field(None, pattern=r"^[A-Za-z][A-Za-z0-9_.-]*$", max_length=100)
    """Name of a custom resource of Ray. Latency is measured on a node that was started with it, as by
    `ray start --resources '{"phone": 1}'`. Without it, it is measured on as many cores of the driver's machine as there
    are threads."""
    threads: int = Field(1, ge=1, le=1_000)
    """CPU threads that the model uses."""
    seconds: float = Field(5.0, ge=0.1, le=3_600)
    """Seconds of audio in each recording."""
    batch: int = Field(1, ge=1, le=10_000)
    """Recordings that are read at once."""
    repeats: int = Field(REPEATS, ge=3, le=10_000)
    """Runs of which the median counts."""

    @property
    def load(self) -> Load:
        """The circumstances of each run."""
        return Load(threads=self.threads, batch=self.batch, seconds=self.seconds)


@dataclass(frozen=True)
class Charge:
    """What a device charges for a shape of student. NaN where that was not asked for."""

    size_mb: float = nan
    """Size of the ONNX file, in MB of a million bytes."""
    latency_ms: float = nan
    """Median time of a batch, in milliseconds."""
    low_ms: float = nan
    """5th percentile of the times."""
    high_ms: float = nan
    """95th percentile of the times."""


class Bench(Protocol):
    """Whoever exports untrained students and measures their files."""

    def known(self) -> Iterable[tuple[AnyConfig, Precision, Charge]]:
        """All that was measured so far on this device, also by other searches."""

    def measure(self, student: AnyConfig, precision: Precision) -> Charge:
        """What the device charges for a student of this shape. Each shape is exported and measured once."""
