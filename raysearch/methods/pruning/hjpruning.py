"""The methods `hjpruning` and `dphubert`, which prune a whole encoder: for one task, or to match its teacher's states.

torch is imported only when a method runs, because documents are checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar

from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.methods.needs import Need
from raysearch.methods.pruning.budget import promised
from raysearch.methods.pruning.settings import DPHubertSettings, HJPruningSettings, MatchingSettings
from raysearch.methods.settings import checked_blocks, with_blocks
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report

if TYPE_CHECKING:
    from raysearch.encoder.gates import GatedEncoder
    from raysearch.training.loss_module import LossModule
    from raysearch.training.recipe import Prepare


class HJPruning:
    """Prunes a copy of the teacher, front end included, while it learns a task, then slices it and trains it further.

    The task is one read by CTC, or one that decides fields, such as intent and slots. The student's cost is within 1 %
    of the target, whichever units are left. No rung is reported before the slice. A ratio of 1 prunes nothing and gives
    the dense model to compare with. `pruning.continue_from` goes on where an earlier trial ended.

    The head is the one that the teacher was trained with, or else one that was trained for the task on the teacher
    before. It learns on in both phases, and the student is judged and exported with it.

    Cannot: prune for verifying speakers, whose back end is trained with another loss.
    Source: HJ-Pruning, Peng et al., ICASSP 2023 (arXiv 2302.14132). Deviations: the multipliers climb by plain gradient
    ascent from a stiff penalty; the gates' rate is constant at first and then falls to zero; the gradients of gates and
    of weights are clipped separately; numbers of units are moved to the target when slicing; the gate of the last
    convolution lies behind the LayerNorm that follows it, and such norms count open channels only.
    """

    name: ClassVar[str] = "hjpruning"
    Settings: ClassVar[type[AnySettings]] = HJPruningSettings

    @staticmethod
    def student(settings: HJPruningSettings, teacher: AnyConfig) -> EncoderConfig:
        """The teacher with the units of every layer scaled alike to the target: the student's cost, not its shape.

        Raises: InputError if the target cannot be met.
        """
        return promised(settings.pruning, teacher)

    @staticmethod
    def needs(settings: HJPruningSettings) -> tuple[Need, ...]:
        """What a CTC head reads. A task that decides fields brings its own labels."""
        return ("symbols" if settings.ctc.unit == "auto" else settings.ctc.unit,)

    def run(self, trial: Trial[HJPruningSettings]) -> Iterator[Report]:
        """Prunes, slices, trains the student further and reports at each rung from the slice on."""
        from raysearch.methods.pruning.phases import prune
        from raysearch.tasks.learner import EncoderUnderHead
        from raysearch.tasks.objective import untaught

        settings, unit, teacher = trial.settings, trial.settings.ctc.unit, trial.teacher.encoder
        objective = trial.objective(unit) if trial.objective else untaught([], unit, trial.corpus, teacher.config)
        head = objective.head

        def build(student: GatedEncoder) -> tuple[LossModule, Prepare]:
            return EncoderUnderHead(student, objective.learner, head.module), EncoderUnderHead.prepare

        return prune(
            trial,
            settings.pruning,
            settings.training,
            build,
            {"head.": settings.ctc.head_lr / settings.training.lr},
            dense=head.tuned or teacher,
            heads={objective.task: head},
        )


class DPHubert:
    """Prunes a copy of the teacher while its hidden states stay near the teacher's, then slices it and trains it on.

    Cannot: prune for one task, so that its student serves any.
    Source: DPHuBERT, Peng et al., Interspeech 2023 (arXiv 2305.17651). Deviations: those of `hjpruning`; layer 0 is
    matched after the position convolution, not before it; batches are padded, not cropped.
    """

    name: ClassVar[str] = "dphubert"
    Settings: ClassVar[type[AnySettings]] = DPHubertSettings

    @staticmethod
    def student(settings: DPHubertSettings, teacher: AnyConfig) -> EncoderConfig:
        """The teacher with the units of every layer scaled alike to the target: the student's cost, not its shape.

        Raises: InputError if the target cannot be met, or if `distillation.layers` names no layer of the teacher.
        """
        _layers(settings.distillation, teacher)
        return promised(settings.pruning, teacher)

    def run(self, trial: Trial[DPHubertSettings]) -> Iterator[Report]:
        """Prunes, slices, trains the student further and reports at each rung from the slice on."""
        from raysearch.methods.features.regression import TeacherBatches
        from raysearch.methods.pruning.matching import LayerMatching
        from raysearch.methods.pruning.phases import prune

        settings = trial.settings
        teacher = trial.teacher.encoder.to(trial.device)
        layers = _layers(settings.distillation, teacher.config)
        # The teacher stands for the student here: a copy has its frames, before it is sliced and after.
        kept = trial.kept_features(layers, teacher.config, settings.training)
        prepare = TeacherBatches(teacher, teacher, layers, trial.precision, raw=True, grid=kept.grid if kept else None)

        def build(student: GatedEncoder) -> tuple[LossModule, Prepare]:
            return LayerMatching(student, teacher.config.width, layers, settings.distillation), prepare

        return prune(trial, settings.pruning, settings.training, build, {}, dense=teacher, kept=kept)


def _layers(settings: MatchingSettings, teacher: AnyConfig) -> list[int]:
    return checked_blocks("distillation.layers", settings.layers, with_blocks(teacher).depth, first=0)
