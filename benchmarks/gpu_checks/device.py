"""The device that is checked: a GPU, or a CPU that plays one.

A CPU has no memory of its own that fills, and no peak that is known. Made-up figures stand for both, so that whatever
computes with them runs on a CPU too.
"""

from __future__ import annotations

import platform
from dataclasses import dataclass

import torch

from gpu_checks.check import Found
from raysearch.methods.table import METHODS
from raysearch.training.monitoring.utilisation import peak_flops

MADE_UP_FLOPS = 1e11
MADE_UP_BYTES = 1 << 30


@dataclass(frozen=True)
class Setting:
    """Where, how large and over which methods the checks run."""

    device: torch.device
    tiny: bool
    methods: tuple[str, ...] = tuple(METHODS)

    @property
    def on_gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def precision(self) -> str:
        """The number format in which is timed: that in which one trains on such a device."""
        return "bf16" if self.on_gpu else "fp32"

    def synchronise(self) -> None:
        """Waits for the GPU, which runs behind the host. Otherwise only the start of its work would be timed."""
        if self.on_gpu:
            torch.cuda.synchronize(self.device)

    def peak_flops(self) -> float | None:
        """The most FLOPs that the device can do in a second. None if that is not known."""
        return peak_flops(self.device, self.precision) if self.on_gpu else MADE_UP_FLOPS

    def free_bytes(self) -> int:
        """Bytes of memory that are free. A made-up device is full."""
        return torch.cuda.mem_get_info(self.device)[0] if self.on_gpu else 0

    def restart_peak(self) -> int:
        """From now on `peak_bytes` is counted anew. Returns the bytes that lie on the device now."""
        if not self.on_gpu:
            return 0
        torch.cuda.reset_peak_memory_stats(self.device)
        return torch.cuda.memory_allocated(self.device)

    def peak_bytes(self) -> int:
        """The most bytes that lay on the device at once since `restart_peak`."""
        return torch.cuda.max_memory_allocated(self.device) if self.on_gpu else MADE_UP_BYTES


def check(setting: Setting, found: Found) -> None:
    software = {"python": platform.python_version(), "torch": torch.__version__, "cuda": str(torch.version.cuda)}
    found.row("software", **software, threads=torch.get_num_threads())
    if not setting.on_gpu:
        found.leave_out("a GPU: sizes are tiny, and its memory and its peak are made up")
        return
    gpu = torch.cuda.get_device_properties(setting.device)
    found.row(
        "gpu",
        name=gpu.name,
        memory_gb=gpu.total_memory / 1e9,
        capability=f"{gpu.major}.{gpu.minor}",
        cudnn=torch.backends.cudnn.version(),
    )
    if setting.peak_flops() is None:
        found.leave_out(f"mfu: the peak of {gpu.name} is not known")
