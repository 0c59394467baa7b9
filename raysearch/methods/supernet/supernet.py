"""The method `supernet`: one encoder is trained for all trials of a search, and each trial is a slice of it.

torch is imported only when the method runs, because documents are checked without it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from raysearch.encoder.config import AnyConfig, EncoderConfig
from raysearch.encoder.supernet.sub_network import sub_config
from raysearch.methods.settings import checked_blocks, with_blocks
from raysearch.methods.supernet.settings import SupernetSettings
from raysearch.methods.supernet.slices import SliceSpace, supernet_config
from raysearch.methods.trial import Trial
from raysearch.settings import Settings as AnySettings
from raysearch.training.report import Report


class Supernet:
    """Trains one supernet a search, whose sub-networks share its weights. A student is one of them, sliced out.

    Each update trains the largest sub-network, the smallest, and some that are drawn. All learn the teacher's hidden
    states; where a task is judged by CTC, all learn to read it too, by one head of which a narrower one has a part. At
    rung 0 a slice is judged as it is, with its part of that head, or else by a probe. Later rungs train it further.

    Cannot: give slices another front end, norm or frame rate than the supernet has; train the supernet in more than one
    process; share a head for tasks that are not read by CTC.
    Source: Cai et al., Once-for-All, ICLR 2020; Wang et al., LightHuBERT, Interspeech 2022 (sub-networks that learn a
    teacher's hidden states). Deviations: each size is drawn for itself, not in stages from large to small; sizes are
    the same in all blocks unless `supernet.shapes` says otherwise; no input is masked.
    """

    name: ClassVar[str] = "supernet"
    Settings: ClassVar[type[AnySettings]] = SupernetSettings
    rung_zero: ClassVar[bool] = True
    shared: ClassVar[tuple[str, ...]] = ("supernet", "distillation")

    @staticmethod
    def student(settings: SupernetSettings, teacher: AnyConfig) -> EncoderConfig:
        """The student's architecture.

        Raises: InputError if the supernet has no such sub-network, or `distillation.layers` names no block of the
        teacher.
        """
        checked_blocks("distillation.layers", settings.distillation.layers, with_blocks(teacher).depth)
        config = supernet_config(settings.supernet, teacher)
        return sub_config(config, SliceSpace(settings.supernet, config).of(settings.student))

    @staticmethod
    def prepare(trial: Trial[SupernetSettings]) -> Path:
        """Trains the supernet, unless it is in the store. Returns its folder there."""
        from raysearch.methods.supernet.training import supernet_folder

        return supernet_folder(trial)

    def run(self, trial: Trial[SupernetSettings]) -> Iterator[Report]:
        """Slices the student out, and trains it further. Reports at each rung."""
        from raysearch.methods.student import is_begun, report_untrained, train_student
        from raysearch.methods.supernet.lessons import Lesson
        from raysearch.methods.supernet.training import lesson_batches, objective_of, reading_of, shared_supernet

        settings, supernet = trial.settings, shared_supernet(trial)
        sub = SliceSpace(settings.supernet, supernet.encoder.config).of(settings.student)
        student, heads = supernet.slice(sub, settings.training.dropout)
        judged = supernet.judged(student, heads)
        if judged:
            # A probe beside the shared head would take longer than all else, and as long as the training of a slice.
            trial = replace(trial, evaluate=partial(trial.evaluate, probed=False))
        if trial.rungs[0] == 0:
            # A trial that has been trained already is past this rung.
            if not is_begun(trial):
                yield from report_untrained(trial, student, judged)
            if len(trial.rungs) == 1:
                return
            trial = replace(trial, rungs=trial.rungs[1:])
        module = Lesson(student, heads, settings, reading_of(objective_of(trial)))
        prepare, beside = lesson_batches(trial, student, settings.training)
        yield from train_student(trial, module, prepare, settings.training, heads=judged, **beside)
