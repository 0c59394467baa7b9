"""How a student is shipped: settings that every method has, since no method reads them.

This file imports no torch, because documents are checked without it.
"""

from __future__ import annotations

from typing import Literal

from raysearch.settings import Settings

Precision = Literal["fp32", "fp16", "int8"]
"""Number format of an exported file."""


class DeploySettings(Settings):
    """The settings of the group `deploy`."""

    precision: Precision = "fp32"
    """Number format of the ONNX file that the student becomes. In any but fp32 the trial's errors are those of that
    file, run by onnxruntime; a file in fp32 has the student's own.
    """
