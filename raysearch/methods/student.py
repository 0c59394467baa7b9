"""What every method does with its student: build it for a trial, and train it through the trial's rungs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import nn

from raysearch.corpora.batches import Batch, TrainingBatches
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.encoder import Encoder
from raysearch.methods.base import Report, Trial
from raysearch.methods.settings import TrainingSettings
from raysearch.training.loop import Objective, fit
from raysearch.training.process import rank, world_size
from raysearch.training.student import build_student
from raysearch.training.trainer import Run


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
    prepare: Callable[[int, Batch], Mapping[str, Any]],
    settings: TrainingSettings,
) -> Iterator[Report]:
    """Trains `module` on the corpus's training split; see `fit` for reports, resuming and errors."""
    run = Run(trial.folder, trial.device, trial.seed, trial.precision, trial.rungs, settings)
    cuts = trial.corpus.splits["train"]
    batches = TrainingBatches(cuts, trial.corpus.audio, settings.batch_s, trial.seed, rank(), world_size())
    return fit(run, Objective(module, batches, prepare, trial.evaluate))
