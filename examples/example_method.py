"""A whole method in one file, for docs/adding-a-method.md: a student's frames resemble each other as its teacher's do.

Shapes: B batch, S samples, T student frames, L teacher layers (one here), W teacher width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

from torch import Tensor
from torch.nn.functional import normalize

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.methods.features.regression import TeacherBatches
from raysearch.methods.settings import StudentSettings
from raysearch.methods.student import student_for, train_student
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.loss_module import LossModule
from raysearch.training.report import Report
from raysearch.training.settings import TrainingSettings


class Layer(AnySettings):
    """What is imitated."""

    layer: int = -1
    """Teacher block to imitate: 1 is the first, -1 the last."""


class SimilaritySettings(AnySettings):
    """Train a student to relate frames as its teacher does."""

    student: StudentSettings = StudentSettings()
    """The student's shape."""
    distillation: Layer = Layer()
    """What is imitated."""
    training: TrainingSettings = TrainingSettings()
    """Optimiser and batches."""


class Similarities(LossModule):
    """A student, trained to relate frames as its teacher does.

    The loss is the mean squared difference between the student's and the teacher's cosine similarities, over all pairs
    of real frames of a cut.
    """

    def __init__(self, student: Encoder) -> None:
        super().__init__()
        self.student = student

    def counts(self, audio_BS: Tensor, samples_B: Tensor, targets_LBTW: Tensor) -> dict[str, Tensor]:
        return {"pairs": frames(self.student.config, samples_B).square().sum()}

    def share(
        self, counts: Mapping[str, Tensor], audio_BS: Tensor, samples_B: Tensor, targets_LBTW: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        encoded = self.student(audio_BS, samples_B)
        valid_BT = encoded.valid_BT
        # Padding holds no speech, so pairs with a frame of it do not count.
        pairs_BTT = (valid_BT[:, :, None] & valid_BT[:, None, :]).float()
        gap_BTT = _similarities(encoded.output_BTD.float()) - _similarities(targets_LBTW[0])
        return (gap_BTT**2 * pairs_BTT).sum() / counts["pairs"], {}


def _similarities(frames_BTD: Tensor) -> Tensor:
    # Of vectors of length 1 the products are the cosines.
    unit_BTD = normalize(frames_BTD, dim=-1)
    return unit_BTD @ unit_BTD.mT


class Similarity:
    """Trains a student from nothing. It needs no head, since similarities do not depend on the width.

    Cannot: mask, or imitate more than one block.
    Source: similarity-preserving distillation, Tung and Mori, ICCV 2019. Deviation: similarities are those between the
    frames of a cut, not those between images.
    """

    name: ClassVar[str] = "similarity"
    Settings: ClassVar[type[AnySettings]] = SimilaritySettings

    @staticmethod
    def student(settings: SimilaritySettings, teacher: EncoderConfig) -> EncoderConfig:
        """The student's architecture, from which its cost is known before it is trained."""
        return settings.student.encoder()

    def run(self, trial: Trial[SimilaritySettings]) -> Iterator[Report]:
        """Trains the student and reports at each rung."""
        settings = trial.settings
        teacher = trial.teacher.encoder
        student = student_for(trial, self.student(settings, teacher.config), settings.training)
        prepare = TeacherBatches(student, teacher, [settings.distillation.layer], trial.precision)
        return train_student(trial, Similarities(student), prepare, settings.training)
