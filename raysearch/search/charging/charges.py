"""What a device charges for students: measured where that was done, and else foreseen by a model.

It knows nothing of Ray: it is handed a bench.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

from raysearch.encoder.config import AnyConfig
from raysearch.exported.device import Bench, Charge, DeviceSettings
from raysearch.exported.settings import Precision
from raysearch.search.charging.model import (
    MB_OF,
    MS_OF,
    ChargeModel,
    Features,
    latency_features,
    median_error,
    size_features,
)

FEWEST = 4
"""Measured shapes from which on a model's error is told."""


@dataclass(frozen=True)
class Trust:
    """How far a model was off, on shapes that it had not seen."""

    shapes: int
    median_error: float
    """Median of the errors as shares of what was measured, each shape left out once."""


class Charges:
    """Sizes and latencies of students on one device. It learns from each that is measured."""

    def __init__(self, bench: Bench, device: DeviceSettings | None) -> None:
        """`device`: None where only sizes are asked for."""
        self._bench, self._device = bench, device
        self._known: dict[str, Charge] = {}
        self._rows: list[tuple[AnyConfig, Precision, Charge]] = []
        self._features: dict[str, tuple[Features, Features]] = {}
        self._size, self._latency = ChargeModel(MB_OF), ChargeModel(MS_OF)
        for student, precision, charge in bench.known():
            self._keep(student, precision, charge)
        self._learn()

    def foreseen(self, student: AnyConfig, precision: Precision) -> Charge:
        """What a student will be charged, without measuring: as it was measured, or else as the models have it."""
        key = _key(student, precision)
        if key not in self._known:
            size, latency = self._row(key, student, precision)
            return Charge(self._size(size), self._latency(latency) if self._device else nan)
        return self._known[key]

    def measured(self, student: AnyConfig, precision: Precision) -> Charge:
        """What a student is charged. It is measured now unless it was before.

        Raises: InputError if the student does not take what the device is given.
        """
        key = _key(student, precision)
        if key not in self._known:
            self._keep(student, precision, self._bench.measure(student, precision))
            self._learn()
        return self._known[key]

    def trust(self) -> dict[str, Trust]:
        """How far the models of `size` and `latency` are off. Empty while too little is measured to tell."""
        found = {}
        for name, model, rows, values in self._data():
            if len(values) >= FEWEST:
                found[name] = Trust(len(values), median_error(model.left_out(rows, values), values))
        return found

    def _keep(self, student: AnyConfig, precision: Precision, charge: Charge) -> None:
        self._known[_key(student, precision)] = charge
        self._rows.append((student, precision, charge))

    def _learn(self) -> None:
        for _, model, rows, values in self._data():
            model.fit(rows, values)

    def _data(self) -> list[tuple[str, ChargeModel, Sequence[Features], Sequence[float]]]:
        rows = [self._row(_key(student, precision), student, precision) for student, precision, _ in self._rows]
        sizes = [charge.size_mb for *_, charge in self._rows]
        data: list[tuple[str, ChargeModel, Sequence[Features], Sequence[float]]] = []
        data.append(("size", self._size, [size for size, _ in rows], sizes))
        if self._device:
            latencies = [charge.latency_ms for *_, charge in self._rows]
            assert all(map(isfinite, latencies))
            data.append(("latency", self._latency, [latency for _, latency in rows], latencies))
        return data

    def _row(self, key: str, student: AnyConfig, precision: Precision) -> tuple[Features, Features]:
        if key not in self._features:
            latency = latency_features(student, precision, self._device.load) if self._device else {}
            self._features[key] = size_features(student, precision), latency
        return self._features[key]


def _key(student: AnyConfig, precision: Precision) -> str:
    return f"{precision} {student.model_dump_json()}"
