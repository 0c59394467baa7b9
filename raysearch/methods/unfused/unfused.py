"""The method `unfused` (UnFuSeD): a student that teaches itself learns clusters of recordings or of their pieces.

torch is imported only when the method runs, because documents are checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import ClassVar

from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError
from raysearch.methods.needs import Need
from raysearch.methods.settings import checked_blocks
from raysearch.methods.trial import Trial
from raysearch.methods.unfused.settings import UnfusedSettings
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report


class Unfused:
    """Trains a student from nothing on clusters of the corpus's training audio. The teacher is asked once.

    The student sees no label, unless the control says so. Labels are for the task, whose mode `finetune` is the last
    step of the method. Recordings without labels are learned from as well, and long ones in pieces
    (`targets.piece_s`).

    Cannot: cluster anew while it trains; mix cuts up, as the published augmentation does.
    Source: UnFuSeD, Seth et al., ICASSP 2023 workshops (arXiv 2303.05668) and its code in LAPE. Deviations: AdamW takes
    the place of SGD, and LayerNorm that of batch norm in the exits; the deepest state is embedded, as the paper says,
    where the code takes the first; a cut's windows differ in every update; `speed` stands in for random resized crops.
    """

    name: ClassVar[str] = "unfused"
    Settings: ClassVar[type[AnySettings]] = UnfusedSettings
    labels_when: ClassVar[Mapping[str, tuple[str, ...]]] = {"distillation.control": ("none", "shuffled")}
    """Settings by their names, with the values for which a trial asks for pseudo-labels."""

    @staticmethod
    def student(settings: UnfusedSettings, teacher: AnyConfig) -> AnyConfig:
        """The student's architecture.

        Raises: InputError if `targets.layer` is no block of the teacher.
        """
        checked_blocks("targets.layer", [settings.targets.layer], teacher.depth)
        return teacher if settings.distillation.control == "ssl" else settings.student.encoder()

    @staticmethod
    def needs(settings: UnfusedSettings) -> tuple[Need, ...]:
        """The true classes, for the control that learns them."""
        return ("labels",) if settings.distillation.control == "oracle" else ()

    def run(self, trial: Trial[UnfusedSettings]) -> Iterator[Report]:
        """Trains the student and reports at each rung. Two of the controls train nothing and report once."""
        from raysearch.corpora.pieces import in_pieces
        from raysearch.methods.student import report_untrained, student_for, train_student
        from raysearch.methods.unfused.selfdistillation import ClusteredWindows, SelfDistillation

        settings = trial.settings
        control = settings.distillation.control
        if control == "ssl":
            return report_untrained(trial, trial.teacher.encoder)
        student = student_for(trial, settings.student.encoder(), settings.training)
        if control == "random":
            return report_untrained(trial, student)
        trial = replace(trial, corpus=in_pieces(trial.corpus, settings.targets.piece_s))
        labels, quality = (true_classes(trial), {}) if control == "oracle" else clustered(trial)
        module = SelfDistillation(student, max(labels.values()) + 1, settings.distillation)
        prepare = ClusteredWindows(labels, settings.distillation, trial.seed)
        return train_student(trial, module, prepare, settings.training, more=lambda encoder: quality)


def clustered(trial: Trial[UnfusedSettings]) -> tuple[Mapping[str, int], Mapping[str, float]]:
    """The pseudo-label of each cut, by its id, and the quality of the pseudo-labels as metrics.

    With the control `shuffled` they are dealt out at random, and the quality is that from before.
    """
    import numpy as np

    assert trial.pseudo_labels is not None
    settings = trial.settings
    pseudo = trial.pseudo_labels(settings.targets)
    quality = {f"targets/{name}": value for name, value in pseudo.quality.items()}
    quality["targets/cuts_per_cluster"] = len(pseudo.labels) / pseudo.clusters
    if settings.distillation.control != "shuffled":
        return pseudo.labels, quality
    order = np.random.default_rng(trial.seed).permutation(list(pseudo.labels.values()))
    return dict(zip(pseudo.labels, order.tolist(), strict=True)), quality


def true_classes(trial: Trial[UnfusedSettings]) -> Mapping[str, int]:
    """The number of each cut's class, by the id of the cut.

    Raises: InputError if a cut has no class.
    """
    classes = {cut.id: _class(cut.supervisions[0].custom or {}) for cut in trial.corpus.splits["train"]}
    if "" in classes.values():
        raise InputError(f"distillation.control: oracle; expected a corpus with labels, not {trial.corpus.name}")
    index = {label: number for number, label in enumerate(sorted(set(classes.values())))}
    return {cut: index[label] for cut, label in classes.items()}


def _class(custom: Mapping[str, str]) -> str:
    """A cut's label, with the name of its corpus in front if several are joined. Empty if the cut has no label."""
    return f"{custom.get('corpus', '')}/{custom['label']}" if "label" in custom else ""
