"""Errors of a model as it is shipped, on a split of a search's corpus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from raysearch.corpora.corpus import Corpus
from raysearch.deploy.manifest import Rate
from raysearch.deploy.transcribe import Layout, Run, log_probs
from raysearch.errors import InputError
from raysearch.tasks.ctc import Unit, is_labelled, reference
from raysearch.tasks.recognition import Reading

LEAST_CUTS = 2
"""A group of fewer has no interval worth the name."""


def labelled_cuts(corpus: Corpus, split: str, unit: Unit) -> list[Any]:
    """Raises: InputError if the split has no cut with a transcript."""
    cuts = [cut for cut in corpus.splits.get(split, []) if is_labelled(cut, unit)]
    if not any(reference(cut, unit) for cut in cuts):
        raise InputError(f"corpus {corpus.name}: split {split}: no cut with {unit}; expected some to measure on")
    return cuts


def measure_error(
    run: Run, layout: Layout, corpus: Corpus, cuts: Sequence[Any], seed: int
) -> tuple[Rate, dict[str, Rate]]:
    """Over all cuts, and by the gender of their speakers."""
    unit: Unit = "phones" if layout.unit == "phones" else "characters"
    whole, groups = Reading([], []), defaultdict[str, Reading](lambda: Reading([], []))
    for cut in cuts:
        expected, got = reference(cut, unit), layout.decode(log_probs(run, layout, corpus.audio.audio(cut)))
        gender = cut.supervisions[0].gender
        for reading in (whole, *([groups[gender]] if gender else [])):
            reading.references.append(expected)
            reading.hypotheses.append(got)
    scored = {name: one for name, one in sorted(groups.items()) if len(one.references) >= LEAST_CUTS}
    return _rate(whole, seed), {name: _rate(one, seed) for name, one in scored.items() if any(one.references)}


def _rate(reading: Reading, seed: int) -> Rate:
    score = reading.score("items", seed)
    return Rate(value=score.value, low=score.low, high=score.high, cuts=len(reading.references))
