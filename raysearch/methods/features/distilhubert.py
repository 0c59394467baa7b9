"""The method `distilhubert`: a student whose last block predicts a teacher's hidden states.

torch is imported only when the method runs, because documents are checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from raysearch.encoder.config import AnyConfig, EncoderConfig, kept_bins
from raysearch.methods.features.settings import DistilHubertSettings
from raysearch.methods.features.start import started_student, student_config
from raysearch.methods.settings import block_numbers, checked_blocks, with_blocks
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report


class DistilHubert:
    """Trains a student whose last block predicts, by linear heads, some of the teacher's hidden states.

    It starts from nothing, or with the teacher's front end and first blocks.

    The teacher's hidden states are kept for all trials of a search, or the teacher runs in every update. Where the two
    have different frame rates, the surplus frames of the faster one are passed over.

    Cannot: mask frames; train the student's inner blocks on targets of their own.
    Source: DistilHuBERT, Chang et al., ICASSP 2022, section 2 (L1 and log-sigmoid cosine loss). Deviations: targets are
    LayerNormed without gain or bias, so that blocks of any scale count the same; the student starts from the teacher's
    first blocks only if `student.start` says so, since else it may differ in every size. Time reduction is that of
    FitHuBERT, Lee et al., Interspeech 2022; what the blocks give is repeated, where FitHuBERT learns to spread it.
    """

    name: ClassVar[str] = "distilhubert"
    Settings: ClassVar[type[AnySettings]] = DistilHubertSettings

    @staticmethod
    def student(settings: DistilHubertSettings, teacher: AnyConfig) -> EncoderConfig:
        """The student's architecture.

        Raises: InputError if `distillation.layers` names no block of the teacher, or if it has none, or fewer than the
            student takes from it.
        """
        checked_blocks("distillation.layers", settings.distillation.layers, with_blocks(teacher).depth)
        return student_config(settings.student, teacher)

    def run(self, trial: Trial[DistilHubertSettings]) -> Iterator[Report]:
        """Trains the student and reports at each rung."""
        from raysearch.methods.features.regression import FeatureRegression, TeacherBatches
        from raysearch.methods.student import train_student

        settings = trial.settings
        teacher = trial.teacher.encoder.to(trial.device)
        student = started_student(trial, settings.student, settings.training)
        module = FeatureRegression(student, teacher.config.width, settings.distillation)
        layers = block_numbers(settings.distillation.layers, teacher.config.depth)
        kept = trial.kept_features(layers, student.config, settings.training)
        prepare = TeacherBatches(student, teacher, layers, trial.precision, grid=kept.grid if kept else None)
        # Where no teacher hears the audio, a log-mel student needs its bins alone.
        bins = kept_bins(student.config.front_end)
        rows = trial.mels(bins) if kept and bins else None
        return train_student(trial, module, prepare, settings.training, rows, kept=kept)
