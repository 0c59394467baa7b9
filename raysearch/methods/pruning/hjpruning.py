"""Pruning of a whole encoder, front end included, as methods: for one task, or by its teacher's hidden states.

No torch until they run.
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
    from torch import nn

    from raysearch.corpora.batches import Batch
    from raysearch.encoder.gates import GatedEncoder
    from raysearch.tasks.learner import Learner
    from raysearch.training.recipe import Prepare


class HJPruning:
    """Prunes a copy of the teacher while it learns the task (CTC, or intent and slots), then slices it and trains on.

    Its cost is the target's to 1 %, whichever units are left. No rung is reported before the slice. A ratio of 1 prunes
    nothing and gives the dense model to compare with; `pruning.continue_from` goes on where an earlier trial ended.

    Cannot: take over a teacher's task head; it learns its own.
    Source: HJ-Pruning, Peng et al., ICASSP 2023 (arXiv 2302.14132). Deviations: the multipliers climb by plain gradient
    ascent from a stiff penalty, the gates' rate is constant at first and then falls to zero, and gradients are clipped
    each for themselves; counts are moved to the target when slicing; the gate of the last convolution lies behind the
    LayerNorm that follows it, and such norms count open channels only.
    """

    name: ClassVar[str] = "hjpruning"
    Settings: ClassVar[type[AnySettings]] = HJPruningSettings

    @staticmethod
    def student(settings: HJPruningSettings, teacher: EncoderConfig) -> EncoderConfig:
        """The teacher with every layer's units scaled alike to the target: the cost of the student, not its shape.

        Raises: InputError if the target cannot be met.
        """
        return promised(settings.pruning, teacher)

    def run(self, trial: Trial[HJPruningSettings]) -> Iterator[Report]:
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

        def build(student: GatedEncoder) -> tuple[nn.Module, Prepare]:
            return EncoderUnderCtc(student, tokens.count), prepare

        return prune(trial, settings.pruning, settings.training, build, lr_scales)


def under_head(learner: Learner) -> Callable[[GatedEncoder], tuple[nn.Module, Prepare]]:
    """The loss module of a task that is not read symbol by symbol."""
    from raysearch.tasks.learner import EncoderUnderHead

    return lambda student: (EncoderUnderHead(student, learner), EncoderUnderHead.prepare)


class DPHubert:
    """Prunes a copy of the teacher while its hidden states stay near the teacher's, then slices it and trains on.

    Cannot: prune for a task; what it makes serves any.
    Source: DPHuBERT, Peng et al., Interspeech 2023 (arXiv 2305.17651). Deviations: those of `hjpruning`; layer 0 is
    matched after the position convolution, not before it; batches are padded, not cropped.
    """

    name: ClassVar[str] = "dphubert"
    Settings: ClassVar[type[AnySettings]] = DPHubertSettings

    @staticmethod
    def student(settings: DPHubertSettings, teacher: EncoderConfig) -> EncoderConfig:
        """As of `HJPruning`.

        Raises: InputError if the target cannot be met, or `distillation.layers` names no layer of the teacher.
        """
        _layers(settings.distillation, teacher)
        return promised(settings.pruning, teacher)

    def run(self, trial: Trial[DPHubertSettings]) -> Iterator[Report]:
        from raysearch.methods.features.regression import TeacherBatches
        from raysearch.methods.pruning.matching import LayerMatching
        from raysearch.methods.pruning.phases import prune

        settings = trial.settings
        teacher = trial.teacher.encoder.to(trial.device)
        layers = _layers(settings.distillation, teacher.config)
        # A copy has the teacher's frames, before it is sliced and after.
        prepare = TeacherBatches(teacher, teacher, layers, trial.precision, raw=True)

        def build(student: GatedEncoder) -> tuple[nn.Module, Prepare]:
            return LayerMatching(student, teacher.config.width, layers, settings.distillation), prepare

        return prune(trial, settings.pruning, settings.training, build, {})


def _layers(settings: MatchingSettings, teacher: EncoderConfig) -> list[int]:
    return checked_blocks("distillation.layers", settings.layers, teacher.depth, first=0)
