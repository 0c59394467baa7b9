"""The teacher method `speaker`: an encoder is trained to tell a corpus's speakers apart."""

from __future__ import annotations

from pathlib import Path

import torch

from raysearch.corpora.augmentation import Augmenter
from raysearch.corpora.augmentation_settings import AugmentationSettings
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.crops import SpeakerCrops
from raysearch.methods.speaker.settings import SharedSettings, SpeakerTraining, VerificationSettings
from raysearch.methods.speaker.steps import TwoSteps
from raysearch.methods.speaker.verification import ImitationBatches, Verification
from raysearch.tasks.settings import BackendSettings, SpeakerSettings
from raysearch.tasks.speaker.aam import AamSoftmax
from raysearch.tasks.speaker.backend import SpeakerBackend
from raysearch.tasks.speaker.task import Speaker
from raysearch.teachers.settings import TrainedTeacher
from raysearch.training.initial import initial_encoder
from raysearch.training.loop import fit
from raysearch.training.recipe import Recipe
from raysearch.training.trainer import Group, Run

BACKEND = BackendSettings(kind="linear", layers="sum")
"""The back end that is trained with the encoder, and then thrown away."""
CROP_S = 2.0
"""Length of a crop in seconds."""
MARGIN_WARMUP = 0.5
"""Share of the updates over which the margin rises from 0."""


def train_speakers(folder: Path, settings: TrainedTeacher, corpus: Corpus, device: torch.device) -> dict[str, float]:
    """Trains an encoder, leaves it in `folder/student`, and returns the errors of its own back end in percent.

    Raises: InputError if a split names fewer than two speakers.
    """
    task = Speaker(SpeakerSettings())
    training = SpeakerTraining(lr=settings.head_lr, batch_s=settings.batch_s, crop_s=CROP_S, warmup=0.05)
    # An encoder that starts from nothing needs a longer warm-up than its back end.
    shared = SharedSettings(lr_scale=settings.lr / settings.head_lr, lr_warmup=0.1)
    verification = VerificationSettings(margin_warmup=MARGIN_WARMUP)
    steps = TwoSteps(settings.updates, 0, 0.0, shared, verification, training)
    crops = SpeakerCrops(
        [cut for cut in corpus.splits["train"] if cut.supervisions[0].speaker is not None],
        corpus.audio,
        batch=training.crops(1),
        crop_s=CROP_S,
        augmenter=Augmenter(AugmentationSettings()),
        seed=settings.seed,
    )
    encoder = initial_encoder(settings.encoder(), None, corpus, settings.seed)
    backend = SpeakerBackend(BACKEND, encoder.config.width, encoder.config.depth + 1)
    aam = AamSoftmax(crops.classes, BACKEND.embedding, verification.scale)
    module = Verification(encoder, backend, aam, steps, training)
    run = Run(
        folder,
        device,
        settings.seed,
        settings.precision,
        (settings.updates,),
        training,
        groups=(Group("student.", settings.head_lr, steps.shared_rate, training.clip),),
        schedule=steps.backend_rate,
    )
    # Nothing is imitated, so the encoder stands in for a teacher that is never asked.
    prepare = ImitationBatches(encoder, steps, device, settings.precision)
    for _ in fit(run, Recipe(module, crops, prepare)):
        pass
    found = task.judge(encoder.eval(), backend, corpus, test="test" in corpus.splits, device=device, seed=settings.seed)
    test = found.test.metrics("test/eer") if found.test else {}
    return {**found.dev.metrics("eval/eer"), **test}
