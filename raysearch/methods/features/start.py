"""Students that learn hidden states: their shape, which needs no torch, and the weights that they begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.errors import InputError
from raysearch.methods.features.settings import FeatureStudent
from raysearch.methods.settings import with_blocks
from raysearch.training.settings import TrainingSettings

if TYPE_CHECKING:
    from raysearch.encoder.encoder import Encoder
    from raysearch.methods.trial import Trial


def student_config(settings: FeatureStudent, teacher: AnyConfig) -> EncoderConfig:
    """The student's architecture.

    Raises: InputError if the teacher has no blocks, or fewer than the student takes from it.
    """
    try:
        return settings.of_teacher(with_blocks(teacher))
    except ValueError as err:
        raise InputError(str(err)) from err


def started_student(trial: Trial[Any], settings: FeatureStudent, training: TrainingSettings) -> Encoder:
    """The student of a trial: untrained, or with the weights of the teacher's front end and first blocks.

    What the teacher does not have, such as a convolution that reduces time, is drawn.
    """
    from raysearch.methods.student import student_for

    teacher = trial.teacher.encoder
    student = student_for(trial, student_config(settings, teacher.config), training)
    if settings.start == "teacher":
        own = student.state_dict()
        # The blocks that the student has are the first ones, and so have their numbers.
        given = {name: weight.cpu() for name, weight in teacher.state_dict().items() if name in own}
        student.load_state_dict(own | given)
    return student
