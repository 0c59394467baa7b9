"""Model FLOPs: what the student's MACs in closed form make of the speech it was trained on, and a device's peak."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.cost import FLOPS_PER_MAC, TRAINING_PASSES, cost_parts

PEAK_TFLOPS: dict[str, dict[str, float]] = {
    "NVIDIA H100 PCIe": {"fp32": 51, "bf16": 756, "fp16": 756},
    "NVIDIA H100": {"fp32": 67, "bf16": 989, "fp16": 989},
    "NVIDIA H200": {"fp32": 67, "bf16": 989, "fp16": 989},
    "NVIDIA A100": {"fp32": 19.5, "bf16": 312, "fp16": 312},
}
"""Dense, by the start of a device's name and by precision; unless it says PCIe, the SXM board's.

Source: NVIDIA's data sheets.
"""


def training_flops(config: AnyConfig, samples: Sequence[int]) -> int:
    """Of one update on cuts with so many samples: forward and backward; padding, heads and teacher are not counted."""
    return FLOPS_PER_MAC * TRAINING_PASSES * sum(cost_parts(config, samples).values())


def peak_flops(device: torch.device, precision: str) -> float | None:
    """What the device could do in a second at best; None where that is not known, as of a CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    tflops = next((peaks for start, peaks in PEAK_TFLOPS.items() if name.startswith(start)), None)
    return 1e12 * tflops[precision] if tflops else None
