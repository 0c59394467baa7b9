"""Model FLOPs of training, from the student's MACs in closed form, and the peak FLOPs of devices.

A FLOP is one floating-point operation.
"""

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
"""Peak TFLOPs in a second for dense matrices, by the start of a device's name and by precision. Boards are SXM unless
the name says PCIe.

Source: NVIDIA's data sheets.
"""


def training_flops(config: AnyConfig, samples: Sequence[int]) -> int:
    """FLOPs of one update on cuts with so many samples, forward and backward.

    Padding, heads and the teacher are not counted.
    """
    return FLOPS_PER_MAC * TRAINING_PASSES * sum(cost_parts(config, samples).values())


def peak_flops(device: torch.device, precision: str) -> float | None:
    """The most FLOPs that the device can do in a second. None if that is not known, as for a CPU."""
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device)
    tflops = next((peaks for start, peaks in PEAK_TFLOPS.items() if name.startswith(start)), None)
    return 1e12 * tflops[precision] if tflops else None
