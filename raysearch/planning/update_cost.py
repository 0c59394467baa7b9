"""What one update of a configuration costs: the multiply-accumulates and the audio, known before anything runs.

This file does not import torch.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig, EncoderConfig
from raysearch.encoder.cost import SUPERB_SAMPLES, TRAINING_PASSES, cost_parts, macs_superb
from raysearch.encoder.frames import frames
from raysearch.methods.features.settings import DistillationSettings
from raysearch.methods.layerwise.settings import LayerwiseSettings, MaskedLayersSettings
from raysearch.methods.pruning.budget import start_config
from raysearch.methods.pruning.settings import PruningSettings
from raysearch.methods.speaker.settings import SpeakerTraining
from raysearch.methods.speaker.steps import FinetuneSettings, Steps
from raysearch.tasks.settings import TaskSettings
from raysearch.tasks.speaker.backend_cost import backend_macs
from raysearch.tasks.superb import superb_backend, superb_head_of

PLANNED = 100
"""Updates in which the plan of a speaker student is followed to find its mean cost. What the plan does depends on the
share of the updates that have passed, not on their number."""
SUPERB_S = sum(SUPERB_SAMPLES) / SAMPLE_RATE_HZ
"""Seconds of the 32 utterances in SUPERB's profiler, on which MACs are counted."""


@dataclass(frozen=True)
class UpdateCost:
    """What one worker hears and computes in one update."""

    audio_s: float
    """Seconds of audio, padding included."""
    macs: float
    """Multiply-accumulates of the student forward and back, and of the teacher forward where the method asks it. Heads
    are not counted."""


def update_cost(
    settings: Any, student: AnyConfig, teacher: AnyConfig, workers: int, *, kept: bool = False
) -> UpdateCost:
    """The cost of a trial's mean update, for cuts as long as SUPERB's. `settings` are those of the student's method.

    With `kept` the teacher's hidden states are kept, so that the teacher is not asked for them.
    """
    training = settings.training
    # The batch of a speaker student is that of all workers together. Every other batch is a worker's own.
    audio_s = training.accumulate * training.batch_s / (workers if isinstance(training, SpeakerTraining) else 1)
    if isinstance(settings, FinetuneSettings):
        assert isinstance(student, EncoderConfig)  # the settings of speaker students allow no other kind
        return UpdateCost(audio_s, audio_s * _planned_macs(settings.steps(PLANNED), student, teacher))
    trained = macs_per_s(student)
    pruning = getattr(settings, "pruning", None)
    if isinstance(pruning, PruningSettings) and isinstance(teacher, EncoderConfig):
        # Gates are learned on the whole encoder. Only what they leave of it is trained further.
        trained = pruning.share * macs_per_s(start_config(pruning, teacher)) + (1 - pruning.share) * trained
    asks = not kept and bool(states_asked(settings, student, teacher))
    # What the teacher makes of masked speech is never kept.
    distillation = getattr(settings, "distillation", None)
    masked = isinstance(distillation, MaskedLayersSettings) and distillation.asks_masked
    return UpdateCost(audio_s, audio_s * (TRAINING_PASSES * trained + (asks + masked) * macs_per_s(teacher)))


def states_asked(settings: Any, student: AnyConfig, teacher: AnyConfig) -> list[int]:
    """The teacher's layers, as the settings number them, whose hidden states a method asks for on whole cuts."""
    distillation = getattr(settings, "distillation", None)
    if isinstance(distillation, LayerwiseSettings):
        return distillation.layers_of(student.depth, teacher.depth)
    return distillation.layers if isinstance(distillation, DistillationSettings) else []


def _planned_macs(steps: Steps, student: EncoderConfig, teacher: AnyConfig) -> float:
    """MACs of an update for each second of audio, by the mean of `PLANNED` updates.

    The teacher takes part only in the updates that imitate it.
    """
    updates = [steps.at(step) for step in range(PLANNED)]
    passes = Counter((now.kd_weight > 0, now.verifies, now.detached) for now in updates)
    routes = sum(count * routes_macs(*losses, student, SUPERB_SAMPLES) for losses, count in passes.items())
    asked = sum(now.kd_weight > 0 for now in updates) * macs_per_s(teacher)
    return (routes / SUPERB_S + asked) / PLANNED


def routes_macs(
    imitates: bool, verifies: bool, detached: bool, student: EncoderConfig, samples: int | Sequence[int]
) -> int:
    """MACs of an update of a speaker student, forward and back, on utterances of these lengths in samples.

    Imitation goes past the adapters and verification goes through them. These are two routes through the blocks behind
    one front end, and they differ from the first block's output on. A detached verification has a forward pass of its
    own. Its way back ends at the first adapter and needs the gradients of activations only, since it trains nothing
    but adapters.
    """
    parts = cost_parts(student, samples)
    adapters = TRAINING_PASSES * parts["adapters"]
    ahead = parts["front_end"] + parts["projection"]
    blocks = sum(parts.values()) - parts["adapters"] - ahead
    if not detached:
        return TRAINING_PASSES * (ahead + (imitates + verifies) * blocks) + verifies * adapters
    reached = cost_parts(student.model_copy(update={"blocks": student.block_list[1:]}), samples)
    # Attention multiplies activations by activations, and both get a gradient. Weights get none here.
    back = reached["attention_linear"] + 2 * reached["attention_matmul"] + reached["ffn"]
    return imitates * TRAINING_PASSES * (ahead + blocks) + ahead + blocks + back + adapters


def macs_per_s(config: AnyConfig) -> float:
    """MACs of a forward pass for each second of audio, in SUPERB's mix of lengths."""
    return macs_superb(config) / SUPERB_S


def head_macs_per_s(task: TaskSettings, config: AnyConfig) -> float:
    """MACs of a forward pass of SUPERB's head for each second of audio, in SUPERB's mix of lengths. 0 for other heads,
    which are next to nothing.
    """
    if backend := superb_backend(task):
        return backend_macs(backend, config, SUPERB_SAMPLES) / SUPERB_S
    head = superb_head_of(task, config)
    return head.macs([frames(config, samples) for samples in SUPERB_SAMPLES]) / SUPERB_S if head else 0.0
