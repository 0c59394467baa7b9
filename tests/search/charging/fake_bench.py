"""A bench that measures nothing: what it says follows from the shape by a law that is easily told."""

from __future__ import annotations

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.cost import macs, params
from raysearch.errors import InputError
from raysearch.exported.device import Charge
from raysearch.exported.settings import Precision


def milliseconds(student: AnyConfig) -> float:
    return 0.4 + 0.3 * student.depth + 60 * macs(student, 5 * 16_000) / 1e9


def megabytes(student: AnyConfig, precision: Precision) -> float:
    return 0.2 + params(student) / 1e6 * {"fp32": 4.0, "fp16": 2.0, "int8": 1.2}[precision]


class FakeBench:
    """Counts what it is asked for. `fault` is raised in the place of each answer."""

    def __init__(self, known: list[tuple[AnyConfig, Precision, Charge]] | None = None, fault: str = "") -> None:
        self._known, self._fault = known or [], fault
        self.asked: list[tuple[AnyConfig, Precision]] = []

    def known(self) -> list[tuple[AnyConfig, Precision, Charge]]:
        return self._known

    def measure(self, student: AnyConfig, precision: Precision) -> Charge:
        if self._fault:
            raise InputError(self._fault)
        self.asked.append((student, precision))
        ms = milliseconds(student)
        return Charge(megabytes(student, precision), ms, 0.9 * ms, 1.2 * ms)
