"""Mixed precision: `fp32`, `bf16` or `fp16`."""

from __future__ import annotations

import torch

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def autocast(device: torch.device, precision: str) -> torch.autocast:
    """The context in which forward passes run. It does nothing for `fp32`."""
    return torch.autocast(device.type, _DTYPES[precision], enabled=precision != "fp32")
