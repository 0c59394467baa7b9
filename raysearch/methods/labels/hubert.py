"""Masked prediction as methods: of MFCC clusters, or of a teacher's (Dice-, Fast-HuBERT). No torch before `run`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from raysearch.encoder.config import EncoderConfig
from raysearch.methods.labels.settings import FastHubertSettings, HubertSettings, LabelPredictionSettings
from raysearch.methods.settings import checked_blocks
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report

if TYPE_CHECKING:
    pass


class _LabelPrediction:
    @staticmethod
    def student(settings: LabelPredictionSettings, teacher: EncoderConfig) -> EncoderConfig:
        """Raises: InputError if `targets.layer` is no block of the teacher."""
        if settings.targets.source == "teacher":
            checked_blocks("targets.layer", [settings.targets.layer], teacher.depth)
        return settings.student.encoder()

    def run(self, trial: Trial[LabelPredictionSettings]) -> Iterator[Report]:
        from raysearch.methods.labels.batches import LabelledBatches
        from raysearch.methods.labels.prediction import MaskedPrediction
        from raysearch.methods.labels.refresh import RefreshedBatches
        from raysearch.methods.student import student_for, train_student

        settings = trial.settings
        config = self.student(settings, trial.teacher.encoder.config)
        label_set = trial.label_set(settings.targets)
        student = student_for(trial, config, settings.training)
        module = MaskedPrediction(student, label_set.clusters, settings.prediction)
        rows = trial.mels(config.front_end.bins) if config.front_end.kind == "logmel" else None
        if not settings.targets.refresh:
            prepare = LabelledBatches(student, label_set, settings.prediction, trial.seed)
            return train_student(trial, module, prepare, settings.training, rows)
        refreshed = RefreshedBatches(trial, student, label_set)
        return train_student(
            trial, module, refreshed, settings.training, rows, more=lambda encoder: refreshed.metrics()
        )


class Hubert(_LabelPrediction):
    """Trains an encoder by masked prediction of MFCC clusters: HuBERT's first iteration. The teacher is not asked.

    A second iteration is `dicehubert` with the first one's encoder as teacher, or `targets.refresh` within one trial.

    Cannot: copy weights from a teacher.
    Source: HuBERT, Hsu et al. 2021, section II. Deviations: pre-norm log-mel students unless told otherwise; no penalty
    on the outputs of waveform convolutions, no scaling of their gradients, no layer drop; waveform students take
    LayerNorm for GroupNorm; batches are padded, not cropped to their shortest cut, and rows keep their own mask counts.
    """

    name: ClassVar[str] = "hubert"
    Settings: ClassVar[type[AnySettings]] = HubertSettings


class DiceHubert(_LabelPrediction):
    """Trains a student from nothing by masked prediction of clusters of one teacher layer. The teacher is asked once.

    Cannot: use soft targets, or copy weights from the teacher.
    Source: DiceHuBERT, Interspeech 2025 (arXiv 2507.02911). The public recipe clusters block 9 of a 12-block teacher,
    K = 500, for a waveform student 12 x 384; its loss is HuBERT's. Deviations: those of `hubert`.
    """

    name: ClassVar[str] = "dicehubert"
    Settings: ClassVar[type[AnySettings]] = LabelPredictionSettings


class FastHubert(_LabelPrediction):
    """Trains a log-mel 25 Hz student by masked prediction of clusters, with a second head a third of the way up.

    Cannot: copy weights from a teacher. Labels at 50 Hz are picked where the student's frames lie.
    Source: Fast-HuBERT, ASRU 2023 (arXiv 2309.13860). Deviations: a linear head has no temperature; the heads' losses
    are averaged, each over its own frames; masks and padding are exact at every length; those of `hubert`.
    """

    name: ClassVar[str] = "fasthubert"
    Settings: ClassVar[type[AnySettings]] = FastHubertSettings
