"""How a student is shipped: settings that every method has, since no method reads them.

This file imports no torch, because documents are checked without it.
"""

from __future__ import annotations

from typing import Literal

from raysearch.settings import Settings

Precision = Literal["fp32", "fp16", "int8", "int8-static", "int8-static-conv"]
"""Number format of an exported file. In fp32 it computes what the student does; in the others it may read otherwise."""


class DeploySettings(Settings):
    """The settings of the group `deploy`."""

    precision: Precision = "fp32"
    """Number format of the ONNX file that the student becomes. In any but fp32 the trial's errors are those of that
    file, run by onnxruntime on a CPU; a file in fp32 has the student's own. `int8` scales what enters a linear layer
    by each recording's own range, `int8-static` by the range that training speech has there, and `int8-static-conv`
    quantises convolutions too.
    """
