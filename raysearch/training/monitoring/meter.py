"""Running means of training metrics. Nothing leaves the device until they are read: each copy would make it wait.

Shapes: B batch, M metrics.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed

from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig
from raysearch.training.monitoring.utilisation import training_flops
from raysearch.training.process import world_size

TIMINGS = ("train/audio_s_per_s", "train/tflop_per_s", "train/mfu_percent")
"""Metrics of speed, which differ when the same run is run again."""


class Unread(NamedTuple):
    """What a meter has heard since it was read last, in a form that a checkpoint can hold."""

    sums: dict[str, Tensor]
    """Sums of the metrics, each the mean over processes."""
    state: dict[str, Any]
    """The rest: updates, samples of each batch, seconds."""


class Meter:
    """The metrics of one process's updates of a student, and how fast they were."""

    def __init__(self, config: AnyConfig, peak_flops: float | None) -> None:
        """A meter for an encoder of this config. `peak_flops`: FLOPs that the device can do in a second, if known."""
        self._config, self._peak_flops = config, peak_flops
        self.restart()

    def restart(self) -> None:
        """Forgets everything and starts the clock anew."""
        self._sums: dict[str, Tensor] = {}
        self._updates = 0
        self._samples: list[Tensor] = []
        self._since = time.perf_counter()

    def hear(self, samples_B: Tensor) -> None:
        """Counts the samples of one batch. An update may have several."""
        self._samples.append(samples_B)

    def add(self, metrics: Mapping[str, Tensor]) -> None:
        """Adds the metrics of one update."""
        self._updates += 1
        for name, value in metrics.items():
            self._sums[name] = self._sums[name] + value if name in self._sums else value

    def read(self) -> tuple[dict[str, float], float]:
        """Means over updates and processes, named `train/...`, and the seconds that the updates took. Then it restarts.

        `train/audio_s_per_s` is seconds of speech per second of training, over all processes, each of which is taken to
        be like this one. `train/tflop_per_s` is the student's model FLOPs in it. `train/mfu_percent` is their share of
        what the devices can do, if that is known. `system/gpu_memory_gb` is the most memory that this process held
        since the last reading, on a GPU only.
        """
        # One tensor, so that all metrics leave the device in one copy and are exchanged at once.
        totals_M = torch.stack([value.float() for value in self._sums.values()])
        if world_size() > 1:
            distributed.all_reduce(totals_M)
        totals = (totals_M / world_size()).tolist()
        elapsed_s = time.perf_counter() - self._since
        metrics = {f"train/{name}": total / self._updates for name, total in zip(self._sums, totals, strict=True)}
        metrics |= self._rates(elapsed_s)
        if torch.cuda.is_available():
            metrics["system/gpu_memory_gb"] = torch.cuda.max_memory_allocated() / 1e9
            torch.cuda.reset_peak_memory_stats()
        self.restart()
        return metrics, elapsed_s

    def unread(self) -> Unread:
        """What was heard since the last reading, for a run that ends here. All processes must call this."""
        if world_size() > 1:
            for value in self._sums.values():
                distributed.all_reduce(value)
                value /= world_size()
        samples = [samples_B.tolist() for samples_B in self._samples]
        state = {"updates": self._updates, "samples": samples, "elapsed_s": time.perf_counter() - self._since}
        return Unread(dict(self._sums), state)

    def go_on(self, unread: Unread) -> None:
        """Takes up what an earlier run had not read when it ended, so that the next reading is as if it had not."""
        self._sums = dict(unread.sums)
        self._updates = unread.state["updates"]
        self._samples = [torch.tensor(samples) for samples in unread.state["samples"]]
        self._since -= unread.state["elapsed_s"]

    def _rates(self, elapsed_s: float) -> dict[str, float]:
        samples = [count for samples_B in self._samples for count in samples_B.tolist()]
        flops_per_s = training_flops(self._config, samples) / elapsed_s
        rates = {
            "train/audio_s_per_s": world_size() * sum(samples) / SAMPLE_RATE_HZ / elapsed_s,
            "train/tflop_per_s": world_size() * flops_per_s / 1e12,
        }
        return rates | ({"train/mfu_percent": 100 * flops_per_s / self._peak_flops} if self._peak_flops else {})
