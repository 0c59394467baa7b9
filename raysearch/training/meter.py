"""Running means of training metrics. Nothing leaves the device until they are read."""

from __future__ import annotations

import time
from collections.abc import Mapping

import torch
from torch import Tensor, distributed

from raysearch.corpora.batches import Batch
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.training.process import world_size


class Meter:
    def __init__(self) -> None:
        self.restart()

    def restart(self) -> None:
        """Forgets everything; the clock starts anew."""
        self._sums: dict[str, Tensor] = {}
        self._updates = 0
        self._audio_s = 0.0
        self._since = time.perf_counter()

    def add(self, batch: Batch, metrics: Mapping[str, Tensor]) -> None:
        self._updates += 1
        self._audio_s += float(batch.samples_B.sum()) / SAMPLE_RATE_HZ * world_size()
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def read(self) -> tuple[dict[str, float], float]:
        """Means named `train/...`, over all processes, and the seconds they took, then restarts.

        `train/audio_s_per_s` is speech per second of training, all processes together (each taken for this one's like);
        `system/gpu_memory_gb` the most that this process held since the last reading, on a GPU only.
        """
        totals_M = torch.stack([value.float() for value in self._sums.values()])
        if world_size() > 1:
            distributed.all_reduce(totals_M)
        totals = (totals_M / world_size()).tolist()
        elapsed_s = time.perf_counter() - self._since
        metrics = {f"train/{name}": total / self._updates for name, total in zip(self._sums, totals, strict=True)}
        metrics["train/audio_s_per_s"] = self._audio_s / elapsed_s
        if torch.cuda.is_available():
            metrics["system/gpu_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
            torch.cuda.reset_peak_memory_stats()
        self.restart()
        return metrics, elapsed_s
