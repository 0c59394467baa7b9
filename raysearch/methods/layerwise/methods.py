"""The methods `armhubert` and `starhubert`, whose students learn from every block of the teacher.

torch is imported only when a method runs, because documents are checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.methods.features.start import started_student, student_config
from raysearch.methods.layerwise.settings import ArmHubertSettings, StarHubertSettings
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report


class ArmHubert:
    """Trains a student whose blocks predict, by linear heads, the teacher's blocks at the same shares of the depth.

    Parts of the speech are masked. Masked frames learn what the teacher makes of whole speech, and the others what it
    makes of masked speech. Every second block reuses the attention map of the block before it.

    Cannot: keep on disk what the teacher makes of masked speech, so that it runs in every update.
    Source: ARMHuBERT, Jang et al., Interspeech 2023 (arXiv 2305.11685), sections 2.1 and 2.2. Deviations: targets are
    LayerNormed without gain or bias; a masked frame of the teacher is the mean of its recording's features, since
    teachers here keep no vector for masked frames; spans may overlap; a reused map is taken as it is, where the public
    code puts it through softmax once more; gradients of inner blocks are not scaled.
    """

    name: ClassVar[str] = "armhubert"
    Settings: ClassVar[type[AnySettings]] = ArmHubertSettings

    @staticmethod
    def student(settings: ArmHubertSettings, teacher: AnyConfig) -> EncoderConfig:
        """The student's architecture.

        Raises: InputError if the teacher has no blocks, or fewer than the student takes from it.
        """
        return student_config(settings.student, teacher)

    def run(self, trial: Trial[ArmHubertSettings]) -> Iterator[Report]:
        """Trains the student and reports at each rung."""
        from raysearch.methods.layerwise.masked_layers import MaskedBatches, MaskedLayers
        from raysearch.methods.student import train_student

        settings, asked = trial.settings, trial.settings.distillation
        teacher = trial.teacher.encoder.to(trial.device)
        student = started_student(trial, settings.student, settings.training)
        layers = asked.layers_of(student.config.depth, teacher.config.depth)
        kept = trial.kept_features(layers, student.config, settings.training)
        grid = kept.grid if kept else None
        prepare = MaskedBatches(student, teacher, layers, trial.precision, asked, trial.seed, grid)
        # Where no teacher hears the audio, a log-mel student needs its bins alone.
        front_end, hears = student.config.front_end, asked.asks_masked or not kept
        rows = trial.mels(front_end.bins) if front_end.kind == "logmel" and not hears else None
        module = MaskedLayers(student, teacher.config.width, asked)
        return train_student(trial, module, prepare, settings.training, rows, kept=kept)


class StarHubert:
    """Trains a student whose frames are as like each other, pair by pair, as the teacher's are.

    That is compared for what each block gives, and between what a block reads and what it gives. Heads are not needed,
    since the student's width does not enter.

    Cannot: teach what a frame is, which no relation says; a probe or a task has to read it.
    Source: STaR, Jang et al., ICASSP 2024 (arXiv 2312.09040): its layer-wise and intra-layer temporal Gram matrices.
    There is no public code of its loss. Deviations: hidden states of student and teacher are LayerNormed without gain
    or bias, so that a relation is the correlation of two frames; the two losses are means over pairs of real frames and
    over blocks, with weights of ours.
    """

    name: ClassVar[str] = "starhubert"
    Settings: ClassVar[type[AnySettings]] = StarHubertSettings

    @staticmethod
    def student(settings: StarHubertSettings, teacher: AnyConfig) -> EncoderConfig:
        """The student's architecture.

        Raises: InputError if the teacher has no blocks, or fewer than the student takes from it.
        """
        return student_config(settings.student, teacher)

    def run(self, trial: Trial[StarHubertSettings]) -> Iterator[Report]:
        """Trains the student and reports at each rung."""
        from raysearch.methods.features.regression import TeacherBatches
        from raysearch.methods.layerwise.relations import Relations
        from raysearch.methods.student import train_student

        settings = trial.settings
        teacher = trial.teacher.encoder.to(trial.device)
        student = started_student(trial, settings.student, settings.training)
        layers = settings.distillation.layers_of(student.config.depth, teacher.config.depth)
        kept = trial.kept_features(layers, student.config, settings.training)
        grid = kept.grid if kept else None
        prepare = TeacherBatches(student, teacher, layers, trial.precision, raw=True, grid=grid)
        front_end = student.config.front_end
        rows = trial.mels(front_end.bins) if kept and front_end.kind == "logmel" else None
        module = Relations(student, settings.distillation)
        return train_student(trial, module, prepare, settings.training, rows, kept=kept)
