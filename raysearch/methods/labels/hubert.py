"""The methods `hubert`, `dicehubert` and `fasthubert`: masked prediction of the clusters of MFCCs or of a teacher.

torch is imported only when a method runs, because documents are checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

from raysearch.encoder.config import AnyConfig, EncoderConfig, kept_bins
from raysearch.methods.labels.settings import FastHubertSettings, HubertSettings, LabelPredictionSettings
from raysearch.methods.settings import checked_blocks, with_blocks
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report


class _LabelPrediction:
    """What the three methods share. They differ in their settings."""

    @staticmethod
    def student(settings: LabelPredictionSettings, teacher: AnyConfig) -> EncoderConfig:
        """The student's architecture.

        Raises: InputError if a layer of `targets` is no block of the teacher, or if it has none.
        """
        if settings.targets.source == "teacher":
            depth = with_blocks(teacher).depth
            checked_blocks("targets.layer", [settings.targets.layer], depth)
            for place, one in enumerate(settings.targets.more):
                checked_blocks(f"targets.more[{place}].layer", [one.layer], depth)
        return settings.student.encoder()

    def run(self, trial: Trial[LabelPredictionSettings]) -> Iterator[Report]:
        """Trains the student and reports at each rung."""
        from raysearch.methods.labels.batches import LabelledBatches
        from raysearch.methods.labels.prediction import MaskedPrediction
        from raysearch.methods.labels.refresh import RefreshedBatches
        from raysearch.methods.student import student_for, train_student

        settings = trial.settings
        config = self.student(settings, trial.teacher.encoder.config)
        label_set, *more = (trial.label_set(one) for one in settings.targets.each())
        student = student_for(trial, config, settings.training)
        module = MaskedPrediction(student, label_set.clusters, settings.prediction, settings.targets.more)
        # A log-mel student reads its bins from the store where they are kept, and never sees the audio.
        bins = kept_bins(config.front_end)
        rows = trial.mels(bins) if bins else None
        if not settings.targets.refresh:
            prepare = LabelledBatches(student, label_set, settings.prediction, trial.seed, more)
            return train_student(trial, module, prepare, settings.training, rows)
        refreshed = RefreshedBatches(trial, student, label_set)
        return train_student(
            trial, module, refreshed, settings.training, rows, more=lambda encoder: refreshed.metrics()
        )


class Hubert(_LabelPrediction):
    """Trains an encoder by masked prediction of the clusters of MFCCs, as HuBERT's first iteration does.

    The teacher is not asked. For a second iteration take `dicehubert` with the first one's encoder as teacher, or
    `targets.refresh` within one trial.

    Cannot: copy weights from a teacher.
    Source: HuBERT, Hsu et al. 2021, section II. Deviations: students are pre-norm and log-mel unless told otherwise;
    there is no penalty on the outputs of waveform convolutions, no scaling of their gradients, and no layer drop;
    waveform students have LayerNorm in place of GroupNorm; batches are padded, not cropped to their shortest cut, and
    each row keeps its own number of masked spans.
    """

    name: ClassVar[str] = "hubert"
    Settings: ClassVar[type[AnySettings]] = HubertSettings


class DiceHubert(_LabelPrediction):
    """Trains a student from nothing by masked prediction of the clusters of one teacher layer.

    The teacher is asked once, to make the label set.

    Cannot: copy weights from the teacher.
    Source: DiceHuBERT, Interspeech 2025 (arXiv 2507.02911). The public recipe clusters block 9 of a teacher with 12
    blocks into K = 500, for a waveform student with 12 blocks of width 384. Its loss is HuBERT's. Deviations: those of
    `hubert`.
    """

    name: ClassVar[str] = "dicehubert"
    Settings: ClassVar[type[AnySettings]] = LabelPredictionSettings


class FastHubert(_LabelPrediction):
    """Trains a log-mel student at 25 Hz by masked prediction of clusters, with a second head a third of the way up.

    Of labels at 50 Hz it takes those where its own frames lie.

    Cannot: copy weights from a teacher.
    Source: Fast-HuBERT, ASRU 2023 (arXiv 2309.13860). Deviations: a linear head has no temperature; the heads' losses
    are averaged, each over its own frames; masks and padding are exact at every length; and those of `hubert`.
    """

    name: ClassVar[str] = "fasthubert"
    Settings: ClassVar[type[AnySettings]] = FastHubertSettings
