"""The teacher method `hubert`: an encoder is trained without labels, by HuBERT's first two iterations on the corpus."""

from __future__ import annotations

from pathlib import Path

import torch

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.teacher import Teacher
from raysearch.methods.labels.hubert import Hubert
from raysearch.methods.labels.settings import LabelPredictionSettings, MfccTargets
from raysearch.methods.trial import Trial
from raysearch.targets.build import build_label_set
from raysearch.targets.label_set import LabelSet
from raysearch.targets.settings import TargetSettings
from raysearch.targets.store import LabelStore
from raysearch.teachers.loading import load_teacher, untrained_teacher
from raysearch.teachers.settings import TrainedTeacher
from raysearch.training.recipe import not_evaluated
from raysearch.training.settings import TrainingSettings


def train_hubert(work: Path, settings: TrainedTeacher, corpus: Corpus, device: torch.device) -> dict[str, float]:
    """Trains an encoder and leaves it in `work/student`. It has no head, so there are no errors to return.

    The first iteration predicts clusters of MFCCs, the second clusters of the first one's middle block.
    """
    training = TrainingSettings(lr=settings.lr, batch_s=settings.batch_s)
    labels = LabelStore(work / "labels")

    def iterate(targets: TargetSettings, imitated: Teacher, folder: Path) -> Teacher:
        def label_set(asked: TargetSettings, teacher: Teacher | None = None) -> LabelSet:
            return build_label_set(asked, teacher or imitated, corpus, corpus.audio, labels, device, settings.batch_s)

        trial = Trial(
            number=0,
            settings=LabelPredictionSettings(student=settings.shape(), targets=targets, training=training),
            corpus=corpus,
            teacher=imitated,
            label_set=label_set,
            evaluate=not_evaluated,
            rungs=(settings.updates,),
            folder=folder,
            device=device,
            seed=settings.seed,
            precision=settings.precision,
        )
        for _ in Hubert().run(trial):
            pass
        return load_teacher(folder / "student", device)

    first = iterate(MfccTargets(clusters=settings.clusters), untrained_teacher(settings, corpus), work / "first")
    # HuBERT's second iteration clusters block 6 of 12.
    iterate(TargetSettings(layer=(settings.depth + 1) // 2, clusters=settings.clusters), first, work)
    return {}
