"""The methods `hjpruning` and `dphubert`, which prune a whole encoder: for one task, or to match its teacher's states.

torch is imported only when a method runs, because documents are checked without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from raysearch.encoder.config import EncoderConfig
from raysearch.methods.pruning.budget import promised
from raysearch.methods.pruning.settings import DPHubertSettings, HJPruningSettings, MatchingSettings
from raysearch.methods.settings import checked_blocks
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report

if TYPE_CHECKING:
    from raysearch.corpora.batches import Batch
    from raysearch.encoder.gates import GatedEncoder
    from raysearch.tasks.learner import Learner
    from raysearch.training.loss_module import LossModule
    from raysearch.training.recipe import Prepare


class HJPruning:
    """Prunes a copy of the teacher, front end included, while it learns a task, then slices it and trains it further.

    The task is one read by CTC, or one that decides fields, such as intent and slots. The student's cost is within 1 %
    of the target, whichever units are left. No rung is reported before the slice. A ratio of 1 prunes nothing and gives
    the dense model to compare with. `pruning.continue_from` goes on where an earlier trial ended.

    Cannot: take over the task head of a teacher, so that it learns a head of its own.
    Source: HJ-Pruning, Peng et al., ICASSP 2023 (arXiv 2302.14132). Deviations: the multipliers climb by plain gradient
    ascent from a stiff penalty; the gates' rate is constant at first and then falls to zero; the gradients of gates and
    of weights are clipped separately; numbers of units are moved to the target when slicing; the gate of the last
    convolution lies behind the LayerNorm that follows it, and such norms count open channels only.
    """

    name: ClassVar[str] = "hjpruning"
    Settings: ClassVar[type[AnySettings]] = HJPruningSettings

    @staticmethod
    def student(settings: HJPruningSettings, teacher: EncoderConfig) -> EncoderConfig:
        """The teacher with the units of every layer scaled alike to the target: the student's cost, not its shape.

        Raises: InputError if the target cannot be met.
        """
        return promised(settings.pruning, teacher)

    def run(self, trial: Trial[HJPruningSettings]) -> Iterator[Report]:
        """Prunes, slices, trains the student further and reports at each rung from the slice on."""
        from raysearch.methods.pruning.phases import prune
        from raysearch.tasks.ctc.supervised import EncoderUnderCtc
        from raysearch.tasks.ctc.tokens import Tokens, is_labelled

        settings = trial.settings
        lr_scales = {"head.": settings.ctc.head_lr / settings.training.lr}
        if learner := trial.learner():
            return prune(trial, settings.pruning, settings.training, under_head(learner), lr_scales)
        cuts = trial.corpus.splits["train"]
        unit = settings.ctc.unit
        if unit == "auto":
            unit = "phones" if all(is_labelled(cut, "phones") for cut in cuts) else "characters"
        tokens = Tokens.from_cuts(cuts, unit)

        def prepare(step: int, batch: Batch) -> Mapping[str, Any]:
            targets = [tokens.encode(cut) for cut in batch.cuts]
            return {"audio_BS": batch.audio_BS, "samples_B": batch.samples_B, "targets": targets}

        def build(student: GatedEncoder) -> tuple[LossModule, Prepare]:
            return EncoderUnderCtc(student, tokens.count), prepare

        return prune(trial, settings.pruning, settings.training, build, lr_scales)


def under_head(learner: Learner) -> Callable[[GatedEncoder], tuple[LossModule, Prepare]]:
    """A function that makes the loss module of a task that has a learner, and what prepares the module's batches."""
    from raysearch.tasks.learner import EncoderUnderHead

    return lambda student: (EncoderUnderHead(student, learner), EncoderUnderHead.prepare)


class DPHubert:
    """Prunes a copy of the teacher while its hidden states stay near the teacher's, then slices it and trains it on.

    Cannot: prune for one task, so that its student serves any.
    Source: DPHuBERT, Peng et al., Interspeech 2023 (arXiv 2305.17651). Deviations: those of `hjpruning`; layer 0 is
    matched after the position convolution, not before it; batches are padded, not cropped.
    """

    name: ClassVar[str] = "dphubert"
    Settings: ClassVar[type[AnySettings]] = DPHubertSettings

    @staticmethod
    def student(settings: DPHubertSettings, teacher: EncoderConfig) -> EncoderConfig:
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
        prepare = TeacherBatches(teacher, teacher, layers, trial.precision, raw=True)

        def build(student: GatedEncoder) -> tuple[LossModule, Prepare]:
            return LayerMatching(student, teacher.config.width, layers, settings.distillation), prepare

        return prune(trial, settings.pruning, settings.training, build, {})


def _layers(settings: MatchingSettings, teacher: EncoderConfig) -> list[int]:
    return checked_blocks("distillation.layers", settings.layers, teacher.depth, first=0)
