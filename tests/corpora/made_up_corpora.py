"""Corpora of cuts without any audio behind them, for tests of what is asked before audio is read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lhotse import CutSet
from lhotse.cut import MonoCut
from lhotse.utils import fastcopy

from raysearch.corpora.corpus import Corpus, Pair
from raysearch.corpora.readers.reading import whole_cut


def cut(
    name: str, *, seconds: float = 1.0, text: str | None = None, speaker: str | None = None, **custom: Any
) -> MonoCut:
    """A cut with what is said in it and of it."""
    made = whole_cut(name, Path(f"/nowhere/{name}.wav"), round(16_000 * seconds), speaker, text)
    return fastcopy(made, supervisions=[fastcopy(made.supervisions[0], custom=custom or None)])


def corpus(cuts: Sequence[MonoCut], pairs: Sequence[Pair] = ()) -> Corpus:
    """A corpus that has the same cuts in all its splits, and the same pairs in dev and test."""
    splits = dict.fromkeys(("train", "dev", "test"), CutSet.from_cuts(cuts))
    return Corpus("made-up", splits, pairs=dict.fromkeys(("dev", "test"), tuple(pairs)) if pairs else {})
