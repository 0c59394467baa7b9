"""Builds encoders that are ready to be trained: students, and teachers that are trained here.

Shapes: B batch, S samples, M mel bins.
"""

from __future__ import annotations

import torch

from raysearch.corpora.batches import evaluation_batches
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.build import build_encoder
from raysearch.encoder.config import AnyConfig
from raysearch.encoder.encoder import Encoder, fit_normalisation
from raysearch.encoder.filterbanks.log_mel import LogMelFilterbank

NORMALISATION_CUTS = 200
"""Largest number of training cuts from which mean and deviation of log-mel bins are taken."""
_BATCH_S = 60.0


def initial_encoder(
    config: AnyConfig, teacher: Encoder | None, corpus: Corpus, seed: int, dropout: float = 0.0
) -> Encoder:
    """An encoder whose weights are drawn from `seed` and whose input is normalised.

    A log-mel encoder takes its bins' mean and deviation from a teacher that has the same bins in the same range. If
    there is no such teacher, it takes them from at most `NORMALISATION_CUTS` training cuts, spread over all of them.
    """
    torch.manual_seed(seed)
    encoder = build_encoder(config, dropout=dropout)
    mine, theirs = (_filterbank(one) for one in (encoder, teacher))
    if mine is None:
        return encoder
    if theirs is not None and _comparable(mine, theirs):
        mine.set_normalisation(theirs.mean_M, theirs.std_M)
    else:
        # Every n-th cut is taken: the first ones alone could be of a few speakers.
        cuts = list(corpus.splits["train"])
        batches = evaluation_batches(cuts[:: -(-len(cuts) // NORMALISATION_CUTS)], corpus.audio, _BATCH_S)
        fit_normalisation(encoder, ((batch.audio_BS, batch.samples_B) for batch in batches))
    return encoder


def _comparable(one: LogMelFilterbank, other: LogMelFilterbank) -> bool:
    mine, theirs = ((len(bank.mean_M), bank.range_db, bank.highest_hz) for bank in (one, other))
    return mine == theirs


def _filterbank(encoder: Encoder | None) -> LogMelFilterbank | None:
    found = getattr(encoder.front_end, "log_mel", None) if encoder else None
    return found if isinstance(found, LogMelFilterbank) else None
