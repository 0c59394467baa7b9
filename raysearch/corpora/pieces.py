"""Divides training cuts into pieces, since a recording of many sounds is many examples."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise

import numpy as np
from lhotse import CutSet
from lhotse.cut import MonoCut
from lhotse.utils import fastcopy

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import SAMPLE_RATE_HZ


def in_pieces(corpus: Corpus, piece_s: float) -> Corpus:
    """The corpus with each training cut divided into equal pieces of about `piece_s` seconds. 0 leaves cuts whole.

    Pieces come in the order of their cuts. A piece has the supervision of its cut, which describes the whole cut.
    """
    if not piece_s:
        return corpus
    pieces = CutSet.from_cuts(piece for cut in corpus.splits["train"] for piece in _pieces(cut, piece_s))
    return replace(corpus, splits={**corpus.splits, "train": pieces})


def piece_count(cut: MonoCut, piece_s: float) -> int:
    """The number of pieces that a cut is divided into. It is 1 if `piece_s` is 0."""
    return max(1, round(cut.duration / piece_s)) if piece_s else 1


def piece_id(cut: str, number: int) -> str:
    """The id of a piece, from the id of its cut and its number in the cut, counted from 0."""
    return f"{cut}:{number}"


def _pieces(cut: MonoCut, piece_s: float) -> Iterator[MonoCut]:
    edges = np.linspace(0, cut.num_samples, piece_count(cut, piece_s) + 1).astype(int).tolist()
    for number, (low, high) in enumerate(pairwise(edges)):
        start_s, seconds = cut.start + low / SAMPLE_RATE_HZ, (high - low) / SAMPLE_RATE_HZ
        yield fastcopy(cut, id=piece_id(cut.id, number), start=start_s, duration=seconds)
