"""Builds a student that is ready to be trained: weights drawn from its seed, input normalised."""

from __future__ import annotations

import torch
from lhotse import CutSet

from raysearch.corpora.batches import AudioStore, evaluation_batches
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder, fit_normalisation
from raysearch.encoder.front_end import LogMelFrontEnd

NORMALISATION_CUTS = 200
_BATCH_S = 60.0

AUDIO = AudioStore()
"""This process's: the runs that it does one after the other mostly hear the same corpus."""


def build_student(
    config: EncoderConfig, teacher: Encoder | None, cuts: CutSet, seed: int, dropout: float = 0.0
) -> Encoder:
    """The untrained student. A log-mel one takes its bins' mean and deviation from a teacher that has the same bins,
    otherwise from at most `NORMALISATION_CUTS` of `cuts`, spread over all of them.
    """
    torch.manual_seed(seed)
    student = Encoder(config, dropout=dropout)
    mine, theirs = student.front_end, teacher.front_end if teacher else None
    if not isinstance(mine, LogMelFrontEnd):
        return student
    if isinstance(theirs, LogMelFrontEnd) and theirs.config.bins == mine.config.bins:
        mine.log_mel.set_normalisation(theirs.log_mel.mean_M, theirs.log_mel.std_M)
    else:
        spread = list(cuts)[:: -(-len(cuts) // NORMALISATION_CUTS)]
        batches = evaluation_batches(CutSet.from_cuts(spread), AUDIO, _BATCH_S)
        fit_normalisation(student, ((batch.audio_BS, batch.samples_B) for batch in batches))
    return student
