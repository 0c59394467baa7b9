"""A method that really trains a tiny student, slowly, and writes down where each of its updates was done."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
import ray
import torch
from torch import Tensor, nn

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder
from raysearch.methods.trial import Trial
from raysearch.settings import Settings
from raysearch.training.loop import fit
from raysearch.training.loss_module import LossModule
from raysearch.training.recipe import Recipe
from raysearch.training.report import Report
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run
from tests.search.fake_method import FakeSettings

UPDATE_S = 0.1
"""Seconds of an update, at least."""
CHECKPOINT_UPDATES = 1000
"""No trial has so many: only what ends a trial from outside makes it keep a checkpoint between its rungs."""


class Noise(NamedTuple):
    audio_BS: Tensor
    samples_B: Tensor


class Trained:
    """Each line of a trial's file `updates` names an update and the node that did it."""

    name: ClassVar[str] = "trained"
    Settings: ClassVar[type[Settings]] = FakeSettings

    @staticmethod
    def student(settings: Settings, teacher: EncoderConfig) -> EncoderConfig:
        assert isinstance(settings, FakeSettings)
        return settings.student.encoder()

    def run(self, trial: Trial[Any]) -> Iterator[Report]:
        assert isinstance(trial.settings, FakeSettings)
        training = TrainingSettings(checkpoint_updates=CHECKPOINT_UPDATES)
        run = Run(trial.folder, trial.device, trial.seed, trial.precision, trial.rungs, training)
        yield from fit(
            run, Recipe(_Loudness(trial.settings.student.encoder()), _Slow(trial.folder), _as_given, _judged)
        )


class _Loudness(LossModule):
    """The loudness of each batch from the mean frame."""

    def __init__(self, config: EncoderConfig) -> None:
        super().__init__()
        self.student = Encoder(config)
        self.head = nn.Linear(config.width, 1)

    def counts(self, audio_BS: Tensor, samples_B: Tensor) -> dict[str, int]:
        return {"rows": len(samples_B)}

    def share(self, counts: Mapping[str, Any], audio_BS: Tensor, samples_B: Tensor) -> Any:
        gap_B1 = self.head(self.student(audio_BS, samples_B).output_BTD.mean(1)) - audio_BS.std()
        return gap_B1.square().sum() / counts["rows"], {}


class _Slow:
    """Batch i is drawn from seed i, and says so in the trial's folder."""

    def __init__(self, folder: Path) -> None:
        self._updates = folder / "updates"

    def from_step(self, step: int) -> Iterator[Noise]:
        node = ray.get_runtime_context().get_node_id()
        for number in count(step):
            time.sleep(UPDATE_S)
            with self._updates.open("a") as file:
                file.write(f"{number} {node}\n")
            noise_BS = np.random.default_rng(number).standard_normal((1, 4000)).astype(np.float32)
            yield Noise(torch.from_numpy(noise_BS), torch.tensor([4000]))


def _as_given(step: int, batch: Any) -> Mapping[str, Any]:
    given: Mapping[str, Any] = batch._asdict()
    return given


def _judged(encoder: Encoder, final: bool, heads: Any = None) -> dict[str, float]:
    return {"eval/per": 50.0}
