"""Masked prediction as methods: of MFCC clusters, or of a teacher's (Dice-, Fast-HuBERT). No torch before `run`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field, PositiveInt, model_validator

from raysearch.encoder.config import EncoderConfig
from raysearch.methods.base import Report, Trial
from raysearch.methods.settings import PredictionSettings, StudentSettings, TrainingSettings, checked_blocks
from raysearch.settings import Settings as AnySettings
from raysearch.targets.settings import TargetSettings

if TYPE_CHECKING:
    from raysearch.encoder.encoder import Encoder


class LabelPredictionSettings(AnySettings):
    """Train a student to predict a label set."""

    student: StudentSettings = StudentSettings()
    """The student's shape."""
    targets: TargetSettings = TargetSettings()
    """The label set."""
    prediction: PredictionSettings = PredictionSettings()
    """Masking, heads and loss."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches."""

    @model_validator(mode="after")
    def _last_block_learns(self) -> LabelPredictionSettings:
        try:
            self.prediction.blocks(self.student.depth)
        except ValueError as err:
            raise ValueError(f"prediction.layers: {err}") from err
        return self

    @model_validator(mode="after")
    def _refreshed_at_checkpoints(self) -> LabelPredictionSettings:
        # What a resumed trial's labels were made of is on disk with its checkpoints.
        if self.targets.refresh % self.training.checkpoint_updates:
            every = self.training.checkpoint_updates
            raise ValueError(
                f"targets.refresh: {self.targets.refresh}; expected a multiple of training.checkpoint_updates = {every}"
            )
        return self


class MfccTargets(TargetSettings):
    """The label set of HuBERT's first iteration."""

    source: Literal["teacher", "mfcc"] = "mfcc"
    """`teacher`: hidden states of one layer; `mfcc`: 39 MFCCs with deltas, HuBERT's first iteration."""
    clusters: int = Field(100, ge=2)
    """Label set size K. May not exceed the corpus's frames. Costs k-means time once, not training time."""


class HubertSettings(LabelPredictionSettings):
    """Train an encoder from nothing on clusters of MFCCs."""

    targets: MfccTargets = MfccTargets()
    """The label set."""


class FastPrediction(PredictionSettings):
    """Fast-HuBERT's prediction."""

    mask_ms: PositiveInt = 400
    """Length of a masked span in milliseconds: 400 is ten frames at 25 Hz."""
    intermediate: float = Field(1 / 3, ge=0, lt=1)
    """One more block that predicts them, as a share of the depth, so that depth can be searched; 0: none."""
    head: Literal["linear", "cosine"] = "linear"
    """`linear`: one linear layer and plain cross-entropy; `cosine`: HuBERT's similarity to codes."""


class FastHubertSettings(LabelPredictionSettings):
    """Train a log-mel student to predict a label set at two depths."""

    prediction: FastPrediction = FastPrediction()
    """Masking, heads and loss."""


class _LabelPrediction:
    @staticmethod
    def student(settings: AnySettings, teacher: EncoderConfig) -> EncoderConfig:
        """Raises: InputError if `targets.layer` is no block of the teacher."""
        assert isinstance(settings, LabelPredictionSettings)
        if settings.targets.source == "teacher":
            checked_blocks("targets.layer", [settings.targets.layer], teacher.depth)
        return settings.student.encoder()

    def run(self, trial: Trial) -> Iterator[Report]:
        from raysearch.methods.labelled import LabelledBatches
        from raysearch.methods.prediction import MaskedPrediction
        from raysearch.methods.refresh import RefreshedBatches
        from raysearch.methods.student import student_for, train_student

        settings = trial.settings
        assert isinstance(settings, LabelPredictionSettings)
        config = self.student(settings, trial.teacher.encoder.config)
        label_set = trial.label_set(settings.targets)
        student = student_for(trial, config, settings.training)
        module = MaskedPrediction(student, label_set.clusters, settings.prediction)
        rows = trial.mels(config.front_end.bins) if config.front_end.kind == "logmel" else None
        if not settings.targets.refresh:
            prepare = LabelledBatches(student, label_set, settings.prediction, trial.seed)
            return train_student(trial, module, prepare, settings.training, rows)
        refreshed = RefreshedBatches(trial, student, settings, label_set)

        def evaluate(encoder: Encoder, final: bool) -> Mapping[str, float]:
            return {**trial.evaluate(encoder, final), **refreshed.metrics()}

        return train_student(replace(trial, evaluate=evaluate), module, refreshed, settings.training, rows)


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
