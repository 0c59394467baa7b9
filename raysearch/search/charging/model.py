"""A model of what a device charges, for the many shapes that a sampler only looks at.

Time and size are sums over operations, each at a rate of its own that is never negative. Rates are fitted on the shapes
that were measured, and drawn towards rough ones of any processor as long as these are few.

Shapes: N measured shapes, F features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import get_args

import numpy as np
from scipy.optimize import nnls

from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig, ConvConfig, Waveform
from raysearch.encoder.cost import all_param_parts, cost_parts
from raysearch.encoder.frames import frames
from raysearch.exported.latency import Load
from raysearch.exported.settings import Precision

Features = Mapping[str, float]
LINEAR = ("projection", "time_reduction", "attention_linear", "attention", "ffn", "adapters", "linear")
"""Parts of an encoder whose weights are those of linear layers, which int8 makes smaller and faster."""
TRUST = 0.003
"""Weight of the rough rates beside measured shapes: the square of the error of a measurement over that of a rate."""
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
MS_OF = {
    "call": 1.0,
    "block": 0.15,
    "audio_s": 0.1,
    "conv": 50.0,
    **{f"linear {precision}": 15.0 if precision.startswith("int8") else 30.0 for precision in PRECISIONS},
    "attention": 50.0,
    "scores": 1500.0,
    "values": 5000.0,
}
"""Rough milliseconds of a call, a block and a second of log-mel features, of 1e9 MACs, and of 1e9 values."""
BYTES = {"fp32": 4.0, "fp16": 2.0}
"""Bytes of a weight, where they are not those of int8: one for a weight of a linear layer, four for any other."""
MB_OF = {
    "file": 0.1,
    "block": 0.02,
    "width": 160e-6,
    **{f"linear {precision}": BYTES.get(precision, 1.0) for precision in PRECISIONS},
    **{f"other {precision}": BYTES.get(precision, 4.0) for precision in PRECISIONS},
}
"""Rough megabytes of an empty file, of the graph of a block, of a unit of width in the head, and of 1e6 weights."""


def latency_features(student: AnyConfig, precision: Precision, load: Load) -> Features:
    """The operations of a student that cost time, for one batch."""
    samples, batch = round(load.seconds * SAMPLE_RATE_HZ), load.batch
    macs = {name: batch * count / 1e9 for name, count in cost_parts(student, samples).items()}
    count = batch * frames(student, samples)
    linear = sum(macs.get(name, 0.0) for name in LINEAR)
    attention = macs.get("attention_matmul", 0.0)
    found = {
        "call": 1.0,
        "block": float(student.depth),
        "conv": macs["front_end"] + macs.get("position_conv", 0.0),
        f"linear {precision}": linear,
        "attention": attention,
        "values": count * student.width * student.depth / 1e9,
    }
    if isinstance(student, ConvConfig) or not isinstance(student.front_end, Waveform):
        found["audio_s"] = batch * load.seconds
    if not isinstance(student, ConvConfig):
        # A score takes as many MACs as its head is wide, and as many again with the values.
        wide = max(block.head_width for block in student.block_list) if student.block_list else 1
        found["scores"] = attention / (2 * wide)
    return found


def size_features(student: AnyConfig, precision: Precision) -> Features:
    """What is in the file of a student, as far as it takes room."""
    params = {name: count / 1e6 for name, count in all_param_parts(student).items()}
    linear = sum(params.get(name, 0.0) for name in LINEAR)
    return {
        "file": 1.0,
        "block": float(student.depth),
        "width": float(student.width),
        f"linear {precision}": linear,
        f"other {precision}": sum(params.values()) - linear,
    }


class ChargeModel:
    """A sum over features at fitted rates, none of which is negative."""

    def __init__(self, rough: Mapping[str, float]) -> None:
        """`rough`: the rates that are taken as long as nothing is known."""
        self._names = list(rough)
        self._rough_F = np.array(list(rough.values()))
        self._rates_F = self._rough_F
        self.count = 0

    def fit(self, rows: Sequence[Features], measured: Sequence[float]) -> None:
        """Fits the rates. What is kept small is the error as a share of what was measured."""
        self.count = len(rows)
        self._rates_F = self._fitted(self._matrix(rows), np.array(measured))

    def __call__(self, row: Features) -> float:
        return float((self._matrix([row]) @ self._rates_F)[0])

    def left_out(self, rows: Sequence[Features], measured: Sequence[float]) -> list[float]:
        """What the model says of each shape if it is fitted on all others."""
        x_NF, y_N = self._matrix(rows), np.array(measured)
        every = np.arange(len(y_N))
        return [float(x_NF[at] @ self._fitted(x_NF[every != at], y_N[every != at])) for at in every]

    def _matrix(self, rows: Sequence[Features]) -> np.ndarray:
        return np.array([[row.get(name, 0.0) for name in self._names] for row in rows]).reshape(-1, len(self._names))

    def _fitted(self, x_NF: np.ndarray, y_N: np.ndarray) -> np.ndarray:
        if not len(y_N):
            return self._rough_F
        # This device may be many times as slow as the rough one.
        rough_F = self._rough_F * np.median(y_N / (x_NF @ self._rough_F))
        wanted = np.sqrt(TRUST)
        rows = np.vstack([x_NF / y_N[:, None], np.diag(wanted / rough_F)])
        rates_F, _ = nnls(rows, np.concatenate([np.ones(len(y_N)), np.full(len(rough_F), wanted)]))
        return rates_F


def median_error(foreseen: Sequence[float], measured: Sequence[float]) -> float:
    """Median of the errors, each as a share of what was measured."""
    return float(np.median(np.abs(np.array(foreseen) / np.array(measured) - 1)))
