"""The steps of a speaker student's training: which losses each update has, and at which rates weights learn.

There is one step, in which a student imitates its teacher and verifies speakers at once, or two steps, in which it does
one after the other, or verification alone. Everything here is a pure function of the update's number. Rates are factors
on `training.lr`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from raysearch.corpora.augmentation_settings import AugmentationSettings
from raysearch.methods.speaker.settings import (
    AdapterSettings,
    FirstKdSettings,
    InheritedSettings,
    KdSettings,
    SharedSettings,
    SpeakerTraining,
    VerificationSettings,
)
from raysearch.settings import Settings
from raysearch.tasks.settings import BackendSettings


@dataclass(frozen=True)
class UpdateLosses:
    """The losses of one update."""

    kd_weight: float
    """Weight of imitation (knowledge distillation, KD). With 0 the teacher is not asked."""
    verifies: bool
    """Whether there is a verification loss."""
    detached: bool
    """Whether the verification loss trains only adapters and back end, and no shared weights."""
    margin: float
    """Margin of the verification loss in radians."""


class Steps(Protocol):
    """The losses and rates of every update. Updates are counted from 0."""

    def at(self, step: int) -> UpdateLosses:
        """The losses of an update."""
        ...

    def backend_rate(self, step: int) -> float:
        """The rate of the back end. That of the adapters is this times a factor."""
        ...

    def shared_rate(self, step: int) -> float:
        """The rate of the shared weights, which are all of the student's weights but those of its adapters."""
        ...


@dataclass(frozen=True)
class OneStep:
    """Every update imitates and verifies, and imitation weighs ever less unless its schedule is `constant`."""

    updates: int
    kd: KdSettings
    verification: VerificationSettings
    training: SpeakerTraining

    def at(self, step: int) -> UpdateLosses:
        progress = step / self.updates
        reach, after = self.verification.reach, self.verification.detach_after
        detached = reach == "detach" or (reach == "detach-after" and progress >= after)
        margin = self.verification.margin_at(progress)
        return UpdateLosses(self.kd.weight * falling(self.kd, progress), True, detached, margin)

    def backend_rate(self, step: int) -> float:
        return cosine_rate(self.training, step, self.updates)

    def shared_rate(self, step: int) -> float:
        kd = self.kd
        rising = round(kd.lr_warmup * self.updates)
        if step < rising:
            return kd.lr_scale * (step + 1) / (rising + 1)
        return kd.lr_scale * kd.lr_decay ** (100 * (step - rising) / self.updates)


@dataclass(frozen=True)
class TwoSteps:
    """The first step imitates, the second verifies. Rates start anew with the second."""

    updates: int
    first: int
    """Number of updates in the first step. With 0 nothing is imitated."""
    kd_weight: float
    shared: SharedSettings
    verification: VerificationSettings
    training: SpeakerTraining

    def at(self, step: int) -> UpdateLosses:
        if step < self.first:
            return UpdateLosses(self.kd_weight, False, False, 0.0)
        progress = (step - self.first) / (self.updates - self.first)
        return UpdateLosses(0.0, True, False, self.verification.margin_at(progress))

    def backend_rate(self, step: int) -> float:
        if step < self.first:
            return 0.0
        return cosine_rate(self.training, step - self.first, self.updates - self.first)

    def shared_rate(self, step: int) -> float:
        steps, whole = (step, self.first) if step < self.first else (step - self.first, self.updates - self.first)
        training = self.training.model_copy(update={"warmup": self.shared.lr_warmup})
        return self.shared.lr_scale * cosine_rate(training, steps, whole)


def cosine_rate(training: SpeakerTraining, step: int, updates: int) -> float:
    """A rate that rises to 1 over the warm-up and then falls to the floor along half a cosine."""
    rising = round(training.warmup * updates)
    # The first update, number 0, learns something too.
    if step < rising:
        return (step + 1) / (rising + 1)
    turn = (1 + math.cos(math.pi * (step - rising) / max(1, updates - rising))) / 2
    return training.floor + (1 - training.floor) * turn


def falling(kd: KdSettings, progress: float) -> float:
    """The factor on the weight of imitation after this share of the updates, as the schedule says."""
    if kd.schedule == "constant":
        return 1.0
    if kd.schedule == "cut":
        return float(progress < kd.cut_at)
    return 1 - progress if kd.schedule == "linear" else (1 + math.cos(math.pi * progress)) / 2


class FinetuneSettings(Settings):
    """Train what is kept of the teacher to tell speakers apart."""

    student: InheritedSettings = InheritedSettings()
    """What is kept of the teacher."""
    adapter: AdapterSettings = AdapterSettings()
    """The adapters."""
    backend: BackendSettings = BackendSettings()
    """The back end, which turns frames into an embedding of the speaker."""
    verification: VerificationSettings = VerificationSettings()
    """The loss on speakers."""
    augmentation: AugmentationSettings = AugmentationSettings()
    """How the student's input is disturbed."""
    training: SpeakerTraining = SpeakerTraining()
    """Optimiser and batches."""
    distillation: SharedSettings = SharedSettings()
    """How fast the shared weights learn. Nothing is imitated."""

    def steps(self, updates: int) -> Steps:
        """The losses and rates of so many updates."""
        return TwoSteps(updates, 0, 0.0, self.distillation, self.verification, self.training)


class OskdftSettings(FinetuneSettings):
    """Train what is kept of the teacher to tell speakers apart, while it also imitates the teacher."""

    distillation: KdSettings = KdSettings()
    """Imitation beside verification."""

    def steps(self, updates: int) -> Steps:
        return OneStep(updates, self.distillation, self.verification, self.training)


class TwoStepSettings(FinetuneSettings):
    """Train what is kept of the teacher to tell speakers apart, after it has imitated the teacher."""

    distillation: FirstKdSettings = FirstKdSettings()
    """Imitation before verification."""

    def steps(self, updates: int) -> Steps:
        kd = self.distillation
        # Each step has at least one update, however few there are.
        first = max(1, min(updates - 1, round(kd.share * updates)))
        return TwoSteps(updates, first, kd.weight, kd, self.verification, self.training)
