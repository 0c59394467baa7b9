"""What one update of a configuration computes and hears, known before it runs. No torch here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig, EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, macs_superb
from raysearch.methods.budget import start_config
from raysearch.methods.settings import DistillationSettings, PruningSettings
from raysearch.methods.verification_settings import FirstKdSettings, KdSettings, SpeakerTraining

TRAINING = 3
"""A forward pass and a backward one, which costs two."""


@dataclass(frozen=True)
class Work:
    """Of one worker in one update."""

    audio_s: float
    """Seconds of audio, padding included."""
    macs: float
    """Multiply-accumulates: the student forward and back, and the teacher forward where it is asked. Heads are not
    counted."""


def update_work(settings: Any, student: AnyConfig, teacher: AnyConfig, workers: int) -> Work:
    """The mean over a trial's updates, for cuts as long as SUPERB's; `settings` are those of the student's method."""
    training = settings.training
    # A speaker batch is that of all processes together, every other one a process's own.
    audio_s = training.accumulate * training.batch_s / (workers if isinstance(training, SpeakerTraining) else 1)
    trained = macs_per_s(student)
    pruning = getattr(settings, "pruning", None)
    if isinstance(pruning, PruningSettings) and isinstance(teacher, EncoderConfig):
        # Gates are learned on the whole encoder; only what is left trains on.
        trained = pruning.share * macs_per_s(start_config(pruning, teacher)) + (1 - pruning.share) * trained
    asked = teacher_share(settings) * macs_per_s(teacher)
    return Work(audio_s, audio_s * (TRAINING * trained + asked))


def teacher_share(settings: Any) -> float:
    """Share of the updates in which the teacher hears the batch too."""
    match getattr(settings, "distillation", None):
        case DistillationSettings() | KdSettings():
            return 1.0
        case FirstKdSettings(share=share):
            return share
        case _:
            return 0.0


def macs_per_s(config: AnyConfig) -> float:
    """Of a forward pass, for each second of audio in SUPERB's mix of lengths."""
    return macs_superb(config) / (sum(SUPERB_SAMPLES) / SAMPLE_RATE_HZ)
