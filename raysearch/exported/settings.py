"""How a student is shipped: settings that every method has, since no method reads them.

This file imports no torch, because documents are checked without it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from raysearch.settings import Settings
from raysearch.training.quantised import Quantised

Precision = Literal["fp32", "fp16", "int8", "int8-static", "int8-static-conv"]
"""Number format of an exported file. In fp32 it computes what the student does; in the others it may read otherwise."""
FLOATS: tuple[Precision, ...] = ("fp32", "fp16")
"""Precisions in which all weights are floats."""


class DeploySettings(Settings):
    """The settings of the group `deploy`."""

    precision: Precision = "fp32"
    """Number format of the ONNX file that the student becomes. In any but fp32 the trial's errors are those of that
    file, run by onnxruntime on a CPU; a file in fp32 has the student's own. `int8` scales what enters a linear layer
    by each recording's own range, `int8-static` by the range that training speech has there, and `int8-static-conv`
    quantises convolutions too.
    """
    aware: float = Field(0.0, ge=0, le=1)
    """Share of the updates, the last ones, in which the student computes with the 8 bits of its file, so that it learns
    to put up with them: quantisation-aware training. Only with a precision of 8 bits."""

    @model_validator(mode="after")
    def _of_8_bits(self) -> DeploySettings:
        if self.aware and self.precision in FLOATS:
            raise ValueError(f"precision: {self.precision} with aware = {self.aware}; expected one of 8 bits")
        return self

    @property
    def quantised(self) -> Quantised | None:
        """How a student is trained that is shipped so. None if it is trained in floats alone."""
        if not self.aware:
            return None
        return Quantised(self.aware, static=self.precision != "int8", convolutions=self.precision == "int8-static-conv")
