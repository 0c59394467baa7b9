"""Builds a student that is ready to be trained: weights drawn from its seed, input normalised."""

from __future__ import annotations

import torch
from lhotse import CutSet

from raysearch.corpora.batches import AudioStore, evaluation_batches
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.log_mel import fit_normalisation

NORMALISATION_CUTS = 200
_BATCH_S = 60.0


def build_student(
    config: EncoderConfig, teacher: Encoder | None, cuts: CutSet, store: AudioStore, seed: int, dropout: float = 0.0
) -> Encoder:
    """The student, with the bins' mean and deviation of a log-mel front end from the teacher if it has the same bins.

    Otherwise they are taken from at most `NORMALISATION_CUTS` of `cuts`, spread over all of them.
    """
    torch.manual_seed(seed)
    student = Encoder(config, dropout)
    if config.front_end.kind != "logmel":
        return student
    theirs = teacher.config.front_end if teacher else None
    if teacher is not None and theirs.kind == "logmel" and theirs.bins == config.front_end.bins:
        pass
    else:
        some = list(cuts)[:: max(1, -(-len(cuts) // NORMALISATION_CUTS))]
        fit_normalisation(student, evaluation_batches(CutSet.from_cuts(some), store, _BATCH_S))
    return student
