"""A small speaker module on tones, and one batch for it."""

import torch

from raysearch.corpora.augmentation import Augmenter
from raysearch.corpora.crops import SpeakerCrops
from raysearch.methods.speaker.steps import OneStep, OskdftSettings
from raysearch.methods.speaker.training import build
from raysearch.methods.speaker.verification import ImitationBatches

UPDATES = 10


def settings_of(**changes):
    document = {
        "student": {"blocks": 2},
        "adapter": {"width": 4, "scale": 1.0},
        "backend": {"channels": 8, "embedding": 8},
        "distillation": {"weight": 2.0},
        "training": {"lr": 1e-3, "batch_s": 2.0, "crop_s": 0.5},
    }
    return OskdftSettings.model_validate({**document, **changes})


def steps_of(settings, updates=UPDATES):
    return OneStep(updates, settings.distillation, settings.verification, settings.training)


def crops_of(corpus, settings, rank=0, world_size=1, batch=4):
    return SpeakerCrops(
        list(corpus.splits["train"]),
        corpus.audio,
        batch=batch,
        crop_s=settings.training.crop_s,
        augmenter=Augmenter(settings.augmentation),
        seed=3,
        rank=rank,
        world_size=world_size,
    )


def made(corpus, teacher, settings=None):
    """The module, and the inputs of an update."""
    settings = settings or settings_of()
    steps = steps_of(settings)
    module = build(0, teacher.encoder, settings, steps, crops_of(corpus, settings))
    prepare = ImitationBatches(teacher.encoder, steps, torch.device("cpu"), "fp32")

    def inputs(step):
        return prepare(step, next(crops_of(corpus, settings).from_step(step)))

    return module, inputs


def stir(module):
    """Adapters start at zero; these do something."""
    for block in module.student.blocks:
        torch.nn.init.normal_(block.adapter.up.weight, std=0.5)
