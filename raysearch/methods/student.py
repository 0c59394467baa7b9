"""What every method does with its student: build it, give it its input's mean and deviation, train it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import nn

from raysearch.corpora.batches import AudioStore, Batch, TrainingBatches, evaluation_batches
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder
from raysearch.methods.base import Report, Trial
from raysearch.methods.settings import TrainingSettings
from raysearch.training.loop import Objective, fit
from raysearch.training.process import rank, world_size
from raysearch.training.trainer import Run

NORMALISATION_CUTS = 200


def build_student(trial: Trial, config: EncoderConfig, dropout: float) -> Encoder:
    """The untrained student; a log-mel one takes its bins' mean and deviation from the teacher, or from the corpus."""
    torch.manual_seed(trial.seed)
    return Encoder(config, dropout)


def train_student(
    trial: Trial,
    module: nn.Module,
    prepare: Callable[[int, Batch], Mapping[str, Any]],
    settings: TrainingSettings,
) -> Iterator[Report]:
    """Trains `module` on the corpus's training split through the trial's rungs."""
    run = Run(trial.folder, trial.device, trial.seed, trial.precision, trial.rungs, settings)
    batches = TrainingBatches(
        trial.corpus.splits["train"], AudioStore(), settings.batch_s, trial.seed, rank(), world_size()
    )
    return fit(run, Objective(module, batches, prepare, trial.evaluate))
