"""Trains a speaker student through its trial's rungs: makes its crops, its module, and its groups of learning rates."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch

from raysearch.corpora.augmentation import Augmenter
from raysearch.corpora.crops import SpeakerCrops
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.methods.speaker.inheritance import inherited_student
from raysearch.methods.speaker.steps import Steps, TwoSteps
from raysearch.methods.speaker.verification import ImitationBatches, Verification
from raysearch.methods.trial import Trial
from raysearch.tasks.speaker.aam import AamSoftmax
from raysearch.tasks.speaker.backend import SpeakerBackend
from raysearch.training.loop import fit
from raysearch.training.process import rank, world_size
from raysearch.training.recipe import More, Recipe
from raysearch.training.report import Report
from raysearch.training.trainer import Group, Run

if TYPE_CHECKING:
    from raysearch.methods.speaker.steps import FinetuneSettings


def train_speaker_student(trial: Trial[FinetuneSettings], steps: Steps, more: More) -> Iterator[Report]:
    """Trains the student and reports at each rung. `fit` describes the reports, resuming and errors.

    Rungs before the first update that verifies speakers are passed over. `more` gives metrics beside the student's
    errors.

    Raises: InputError if the training split names fewer than two speakers.
    """
    settings = trial.settings
    training = settings.training
    cuts = [cut for cut in trial.corpus.splits["train"] if cut.supervisions[0].speaker is not None]
    crops = SpeakerCrops(
        cuts,
        trial.corpus.audio,
        batch=training.crops(world_size()),
        crop_s=training.crop_s,
        augmenter=Augmenter(settings.augmentation),
        seed=trial.seed,
        rank=rank(),
        world_size=world_size(),
        readers=trial.readers,
    )
    if len(crops.speakers) < 2:
        raise InputError(
            f"corpus {trial.corpus.name}: train names {len(crops.speakers)} speakers; expected two at least"
        )
    teacher = trial.teacher.encoder.to(trial.device)
    module = build(trial.seed, teacher, settings, steps, crops)
    run = Run(
        trial.folder,
        trial.device,
        trial.seed,
        trial.precision,
        tuple(rung for rung in trial.rungs if not isinstance(steps, TwoSteps) or rung > steps.first),
        training,
        groups=groups(module, settings, steps),
        schedule=steps.backend_rate,
        quantised=trial.quantised,
    )
    prepare = ImitationBatches(teacher, steps, trial.device, trial.precision)
    return fit(run, Recipe(module, crops, prepare, trial.evaluate, {"speaker": module.backend}, more))


def build(seed: int, teacher: Encoder, settings: FinetuneSettings, steps: Steps, crops: SpeakerCrops) -> Verification:
    """The module that is trained. The same seed gives the same one."""
    torch.manual_seed(seed)
    student = inherited_student(teacher, settings.student, settings.adapter, settings.training.dropout)
    backend = SpeakerBackend(settings.backend, student.config.width, student.config.depth + 1)
    balance_S = crops.balance() if settings.verification.class_weights else None
    aam = AamSoftmax(crops.classes, settings.backend.embedding, settings.verification.scale, balance_S)
    return Verification(student, backend, aam, steps, settings.training)


def groups(module: Verification, settings: FinetuneSettings, steps: Steps) -> tuple[Group, ...]:
    """Groups of parameters with rates of their own: each block's adapter, and the student's shared weights.

    The back end has the rate of the run.
    """
    # A parameter belongs to the first group that its name fits, so the adapters come before all of the student.
    lr, clip = settings.training.lr, settings.training.clip
    adapters = [
        Group(f"student.blocks.{index}.adapter.", lr * settings.adapter.lr_scale, steps.backend_rate, clip)
        for index in range(module.student.config.depth)
    ]
    return (*adapters, Group("student.", lr, steps.shared_rate, clip))
