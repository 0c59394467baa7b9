"""What methods share: they build a trial's student, and train it through the trial's rungs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from raysearch.corpora.batches import Rows, TrainingBatches, nothing_beside
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.encoder import Encoder
from raysearch.methods.trial import Trial
from raysearch.targets.kept_features import KeptFeatures
from raysearch.training import checkpoint
from raysearch.training.initial import initial_encoder
from raysearch.training.loop import fit, saved
from raysearch.training.loss_module import LossModule
from raysearch.training.memory import fitting
from raysearch.training.process import as_first, rank, world_size
from raysearch.training.recipe import More, Prepare, Recipe, nothing_more
from raysearch.training.report import Report, write_report
from raysearch.training.settings import TrainingSettings
from raysearch.training.trainer import Run


def student_for(trial: Trial[Any], config: AnyConfig, training: TrainingSettings) -> Encoder:
    """The untrained student of a trial."""
    return initial_encoder(config, trial.teacher.encoder, trial.corpus, trial.seed, training.dropout)


def report_untrained(trial: Trial[Any], encoder: Encoder, heads: Mapping[str, Any] | None = None) -> Iterator[Report]:
    """Yields one report for a student that is taken as it is: at rung 0 if that is asked for, else at the last rung.

    `heads` are those that it has, by task. Test is read too, because a trial that is left at rung 0 is complete.
    """
    # What is judged is what lies on disk, as with trained students.
    judged = saved(encoder, trial.folder / "student", trial.device)
    step = 0 if trial.rungs[0] == 0 else trial.rungs[-1]
    metrics = trial.evaluate(judged, True, heads)
    if rank() == 0:
        write_report(trial.folder, step, metrics)
    yield Report(step, metrics, final=step == trial.rungs[-1])


def is_begun(trial: Trial[Any]) -> bool:
    """Whether the trial has been trained up to its first checkpoint at least."""
    return as_first(checkpoint.has_any(trial.folder))


def train_student(
    trial: Trial[Any],
    module: LossModule,
    prepare: Prepare,
    settings: TrainingSettings,
    rows: Rows | None = None,
    *,
    kept: KeptFeatures | None = None,
    heads: Mapping[str, Any] | None = None,
    more: More = nothing_more,
    lr_scales: Mapping[str, float] | None = None,
) -> Iterator[Report]:
    """Trains `module` on the corpus's training split. `fit` describes the reports, resuming and errors.

    Batches are made of audio, or of `rows` where these are given, with the hidden states in `kept` beside them. `heads`
    are those in the module that tasks judge the student by. `more` gives metrics beside its errors. `lr_scales` are as
    those of `Run`.
    """
    batches, settings = batches_for(trial, module, prepare, settings, rows, kept)
    where = (trial.folder, trial.device, trial.seed, trial.precision, trial.rungs)
    run = Run(*where, settings, lr_scales=lr_scales or {}, quantised=trial.quantised)
    return fit(run, Recipe(module, batches, prepare, trial.evaluate, heads=heads, more=more))


def batches_for(
    trial: Trial[Any],
    module: LossModule,
    prepare: Prepare,
    settings: TrainingSettings,
    rows: Rows | None = None,
    kept: KeptFeatures | None = None,
) -> tuple[TrainingBatches, TrainingSettings]:
    """The training split in batches of as many seconds as the settings say, and the settings.

    On a GPU batches are halved until one fits into its memory. The settings that come back then add up the gradients of
    as many batches as one was divided into, so that an update sees the same seconds of audio.
    """
    cuts, source = trial.corpus.splits["train"], rows or trial.corpus.audio
    source, beside = (kept.rows(source), kept.of) if kept else (source, nothing_beside)

    def build(batch_s: float) -> TrainingBatches:
        return TrainingBatches(cuts, source, batch_s, trial.seed, rank(), world_size(), trial.readers, beside)

    if trial.device.type != "cuda":
        return build(settings.batch_s), settings
    module = module.to(trial.device).train()
    return fitting(trial.folder, settings, build, module, prepare, trial.device, trial.precision)
