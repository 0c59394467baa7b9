"""What one update of a configuration computes and hears, known before it runs. No torch here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig, EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, TRAINING_PASSES, cost_parts, macs_superb
from raysearch.methods.features.settings import DistillationSettings
from raysearch.methods.pruning.budget import start_config
from raysearch.methods.pruning.settings import PruningSettings
from raysearch.methods.speaker.settings import SpeakerTraining
from raysearch.methods.speaker.steps import FinetuneSettings, Steps

PLANNED = 100
"""Updates by which a speaker student's are judged: what its plan says holds for shares of them."""
SUPERB_S = sum(SUPERB_SAMPLES) / SAMPLE_RATE_HZ


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
    if isinstance(settings, FinetuneSettings):
        assert isinstance(student, EncoderConfig)
        return Work(audio_s, audio_s * _planned_macs(settings.steps(PLANNED), student, teacher))
    trained = macs_per_s(student)
    pruning = getattr(settings, "pruning", None)
    if isinstance(pruning, PruningSettings) and isinstance(teacher, EncoderConfig):
        # Gates are learned on the whole encoder; only what is left trains on.
        trained = pruning.share * macs_per_s(start_config(pruning, teacher)) + (1 - pruning.share) * trained
    asks = isinstance(getattr(settings, "distillation", None), DistillationSettings)
    return Work(audio_s, audio_s * (TRAINING_PASSES * trained + asks * macs_per_s(teacher)))


def _planned_macs(steps: Steps, student: EncoderConfig, teacher: AnyConfig) -> float:
    """Of a second of audio: the mean over `PLANNED` updates. The teacher hears those that imitate it."""
    updates = [steps.at(step) for step in range(PLANNED)]
    passes = Counter((now.kd_weight > 0, now.verifies, now.detached) for now in updates)
    routes = sum(count * routes_macs(*losses, student, SUPERB_SAMPLES) for losses, count in passes.items())
    asked = sum(now.kd_weight > 0 for now in updates) * macs_per_s(teacher)
    return (routes / SUPERB_S + asked) / PLANNED


def routes_macs(
    imitates: bool, verifies: bool, detached: bool, student: EncoderConfig, samples: int | Sequence[int]
) -> int:
    """Of an update's passes through a speaker student, forward and back, on utterances of such lengths.

    Imitation goes past the adapters and verification through them: two routes through the blocks, which differ from the
    first block's output on, behind one front end. A verification that is detached has a pass of its own. Its way back
    ends at the first adapter and is that of activations alone, since it trains nothing else.
    """
    parts = cost_parts(student, samples)
    adapters = TRAINING_PASSES * parts["adapters"]
    ahead = parts["front_end"] + parts["projection"]
    blocks = sum(parts.values()) - parts["adapters"] - ahead
    if not detached:
        return TRAINING_PASSES * (ahead + (imitates + verifies) * blocks) + verifies * adapters
    reached = cost_parts(student.model_copy(update={"blocks": student.block_list[1:]}), samples)
    # Both operands of a product of activations get a gradient.
    back = reached["attention_linear"] + 2 * reached["attention_matmul"] + reached["ffn"]
    return imitates * TRAINING_PASSES * (ahead + blocks) + ahead + blocks + back + adapters


def macs_per_s(config: AnyConfig) -> float:
    """Of a forward pass, for each second of audio in SUPERB's mix of lengths."""
    return macs_superb(config) / SUPERB_S
