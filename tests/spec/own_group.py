"""A method of somebody else's, with a group of settings that no method of this package has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from pydantic import Field

from raysearch.encoder.config import EncoderConfig
from raysearch.methods.settings import StudentSettings
from raysearch.methods.trial import Trial
from raysearch.settings import Settings
from raysearch.training.report import Report
from raysearch.training.settings import TrainingSettings


class SmoothingSettings(Settings):
    """How targets are smoothed."""

    strength: float = Field(0.1, ge=0, lt=1)
    """Share of the target that is spread over all classes."""
    kind: str = "uniform"
    """How it is spread."""


class SmoothedSettings(Settings):
    student: StudentSettings = StudentSettings()
    smoothing: SmoothingSettings = SmoothingSettings()
    training: TrainingSettings = TrainingSettings()
    rounds: int = 1
    """No group, so that no document can name it."""


class Smoothed:
    """It is only asked for its settings."""

    name: ClassVar[str] = "smoothed"
    Settings: ClassVar[type[Settings]] = SmoothedSettings

    @staticmethod
    def student(settings: Any, teacher: EncoderConfig) -> EncoderConfig:
        config: EncoderConfig = settings.student.encoder()
        return config

    def run(self, trial: Trial) -> Iterator[Report]:
        raise NotImplementedError
