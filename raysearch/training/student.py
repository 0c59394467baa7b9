"""Builds a student that is ready to be trained: weights drawn from its seed, input normalised."""

from __future__ import annotations

import torch

from raysearch.corpora.batches import evaluation_batches
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder, fit_normalisation
from raysearch.encoder.front_end import LogMelFrontEnd

NORMALISATION_CUTS = 200
_BATCH_S = 60.0


def build_student(
    config: EncoderConfig, teacher: Encoder | None, corpus: Corpus, seed: int, dropout: float = 0.0
) -> Encoder:
    """The untrained student. A log-mel one takes its bins' mean and deviation from a teacher that has the same bins,
    otherwise from at most `NORMALISATION_CUTS` training cuts, spread over all of them.
    """
    torch.manual_seed(seed)
    student = Encoder(config, dropout=dropout)
    mine, theirs = student.front_end, teacher.front_end if teacher else None
    if not isinstance(mine, LogMelFrontEnd):
        return student
    if isinstance(theirs, LogMelFrontEnd) and theirs.config.bins == mine.config.bins:
        mine.log_mel.set_normalisation(theirs.log_mel.mean_M, theirs.log_mel.std_M)
    else:
        cuts = list(corpus.splits["train"])
        batches = evaluation_batches(cuts[:: -(-len(cuts) // NORMALISATION_CUTS)], corpus.audio, _BATCH_S)
        fit_normalisation(student, ((batch.audio_BS, batch.samples_B) for batch in batches))
    return student
