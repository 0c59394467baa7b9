"""What every method does with its student: build it for a trial, and train it through the trial's rungs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from raysearch.corpora.batches import Batch, Rows, TrainingBatches
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.encoder import Encoder
from raysearch.methods.base import Report, Trial
from raysearch.methods.settings import TrainingSettings
from raysearch.training.loop import Workload, fit
from raysearch.training.memory import fitting
from raysearch.training.process import rank, world_size
from raysearch.training.student import build_student
from raysearch.training.trainer import Run

Prepare = Callable[[int, Batch], Mapping[str, Any]]
Evaluate = Callable[[Encoder, bool], Mapping[str, float]]


def student_for(trial: Trial, config: AnyConfig, training: TrainingSettings) -> Encoder:
    """The untrained student of a trial."""
    return build_student(config, trial.teacher.encoder, trial.corpus, trial.seed, training.dropout)


def report_untrained(trial: Trial, encoder: Encoder) -> Iterator[Report]:
    """The one report, at the last rung, of a student that is taken as it is."""
    metrics: Mapping[str, float] = {}
    if rank() == 0:
        save_encoder(encoder, trial.folder / "student")
        metrics = trial.evaluate(load_encoder(trial.folder / "student", trial.device).eval(), True)
    yield Report(trial.rungs[-1], metrics, final=True)


def train_student(
    trial: Trial,
    module: nn.Module,
    prepare: Prepare,
    settings: TrainingSettings,
    rows: Rows | None = None,
) -> Iterator[Report]:
    """Trains `module` on the corpus's training split; see `fit` for reports, resuming and errors.

    `rows`: where batches are made of, if not of audio.
    """
    batches, settings = batches_for(trial, module, prepare, settings, rows)
    run = Run(trial.folder, trial.device, trial.seed, trial.precision, trial.rungs, settings)
    return fit(run, Workload(module, batches, prepare, with_batches(trial.evaluate, settings)))


def batches_for(
    trial: Trial, module: nn.Module, prepare: Prepare, settings: TrainingSettings, rows: Rows | None = None
) -> tuple[TrainingBatches, TrainingSettings]:
    """Of the training split, in batches of the seconds that the settings say; on a GPU, of as many as fit, and the
    settings with which an update hears as much in them."""
    cuts = trial.corpus.splits["train"]

    def build(batch_s: float) -> TrainingBatches:
        source = rows or trial.corpus.audio
        return TrainingBatches(cuts, source, batch_s, trial.seed, rank(), world_size(), trial.readers)

    if trial.device.type != "cuda":
        return build(settings.batch_s), settings
    module = module.to(trial.device).train()
    return fitting(trial.folder, settings, build, module, prepare, trial.device, trial.precision)


def with_batches(evaluate: Evaluate, settings: TrainingSettings) -> Evaluate:
    """Reports tell the seconds in a batch and the batches in an update, too."""
    told = {"train/batch_s": settings.batch_s, "train/accumulate": float(settings.accumulate)}
    return lambda encoder, final: {**evaluate(encoder, final), **told}
