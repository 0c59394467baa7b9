"""Measures the errors of an exported model on a split of a search's corpus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from raysearch.corpora.corpus import Corpus, Pair
from raysearch.corpora.crops import speaker_of
from raysearch.deploy.runtime.transcribe import Audio, Layout, Run, log_probs, mean_over_windows
from raysearch.deploy.runtime.verify_speaker import embedding
from raysearch.errors import InputError
from raysearch.evidence.resampling import share
from raysearch.settings import Outcome
from raysearch.tasks.ctc.recognition import Reading
from raysearch.tasks.ctc.tokens import Unit, is_labelled, reference
from raysearch.tasks.fields.counted import counted_interval
from raysearch.tasks.fields.fields import ABSENT, Values, label_values, request_values
from raysearch.tasks.speaker.cosines import cosines
from raysearch.tasks.speaker.detection import eer_score
from raysearch.tasks.speaker.task import draw_pairs

LEAST_CUTS = 2
"""Least cuts of a group that is reported: with fewer there is no interval worth the name."""


class Rate(Outcome):
    """An error rate with its 95 % interval, in percent."""

    value: float
    low: float
    high: float
    cuts: int
    """Cuts that the error was counted on."""


Hear = Callable[[Audio], Any]
"""A model as it is used: of a recording it gives the symbols that are read, an embedding (E), or values of fields."""


def hearing(run: Run, layout: Layout) -> Hear:
    """A model that is run by us, as it is used on recordings of any length."""
    if layout.unit == "speaker":
        return lambda audio_S: embedding(run, layout, audio_S)
    if layout.unit == "fields":
        return lambda audio_S: layout.values(mean_over_windows(run, layout, audio_S))
    return lambda audio_S: layout.spell(log_probs(run, layout, audio_S))


def remembering(hear: Hear) -> Hear:
    """The same, but each recording is heard once only."""
    known: dict[bytes, Any] = {}

    def heard(audio_S: Audio) -> Any:
        key = audio_S.tobytes()
        if key not in known:
            known[key] = hear(audio_S)
        return known[key]

    return heard


def measure_error(
    hear: Hear, layout: Layout, corpus: Corpus, split: str, seed: int, most: int | None = None
) -> tuple[Rate, dict[str, Rate]]:
    """The error over all cuts of the split, or over about `most` of them, and for phones and words also by gender.

    Genders are those of the speakers, as far as the corpus knows them.
    Raises: InputError if the split has nothing to measure on.
    """
    if layout.unit == "speaker":
        return _speaker_error(hear, layout, corpus, split, seed, most), {}
    cuts = some_cuts(corpus, split, layout, most)
    if layout.unit == "fields":
        return _field_error(hear, layout, corpus, cuts, seed), {}
    return _reading_error(hear, layout, corpus, cuts, seed)


def some_cuts(corpus: Corpus, split: str, layout: Layout, most: int | None) -> list[Any]:
    """The cuts that the error is counted on, or about `most` of them.

    Raises: InputError if there are none.
    """
    cuts = measured_cuts(corpus, split, layout)
    # Every n-th cut rather than the first ones, so that all parts of the split are heard.
    return cuts if most is None else cuts[:: -(-len(cuts) // most)]


def measured_cuts(corpus: Corpus, split: str, layout: Layout) -> list[Any]:
    """The cuts of a split that the error is counted on.

    Raises: InputError if there are none.
    """
    cuts = list(corpus.splits.get(split, []))
    if layout.unit == "speaker":
        keys = {key for pair in _pairs(corpus, split) for key in (pair.one, pair.other)}
        return [cut for cut in cuts if cut.id in keys]
    if layout.unit == "fields":
        if known := [cut for cut in cuts if _values(cut, layout) is not None]:
            return known
        raise InputError(f"corpus {corpus.name}: split {split}: no labelled cut; expected some to measure on")
    unit = _unit(layout)
    labelled = [cut for cut in cuts if is_labelled(cut, unit)]
    if not any(reference(cut, unit) for cut in labelled):
        raise InputError(f"corpus {corpus.name}: split {split}: no cut with {unit}; expected some to measure on")
    return labelled


def _reading_error(
    hear: Hear, layout: Layout, corpus: Corpus, cuts: Sequence[Any], seed: int
) -> tuple[Rate, dict[str, Rate]]:
    unit = _unit(layout)
    whole, groups = Reading([], []), defaultdict[str, Reading](lambda: Reading([], []))
    for cut in cuts:
        expected, got = reference(cut, unit), layout.items(hear(corpus.audio.audio(cut)))
        gender = cut.supervisions[0].gender
        for reading in (whole, *([groups[gender]] if gender else [])):
            reading.references.append(expected)
            reading.hypotheses.append(got)
    scored = {name: one for name, one in sorted(groups.items()) if len(one.references) >= LEAST_CUTS}
    return _rate(whole, seed), {name: _rate(one, seed) for name, one in scored.items() if any(one.references)}


def _field_error(hear: Hear, layout: Layout, corpus: Corpus, cuts: Sequence[Any], seed: int) -> Rate:
    """The share of cuts in which any field is read wrong, in percent."""
    counts = []
    for cut in cuts:
        said, read = _values(cut, layout), hear(corpus.audio.audio(cut))
        counts.append([any((said or {}).get(name, ABSENT) != value for name, value in read.items()), 1])
    score = counted_interval([np.array(counts, dtype=float)], share, seed=seed)
    return Rate(value=score.value, low=score.low, high=score.high, cuts=len(cuts))


def _values(cut: Any, layout: Layout) -> Values | None:
    return label_values(cut) if "label" in layout.fields else request_values(cut)


def _speaker_error(hear: Hear, layout: Layout, corpus: Corpus, split: str, seed: int, most: int | None) -> Rate:
    """The equal error rate of plain cosines, over the pairs whose cuts are both among the first `most`."""
    # Each cut is embedded once, however many pairs it is in.
    cuts = {cut.id: cut for cut in measured_cuts(corpus, split, layout)}
    pairs = _pairs(corpus, split)
    if most is not None:
        kept = set(list(dict.fromkeys(key for pair in pairs for key in (pair.one, pair.other)))[:most])
        pairs = [pair for pair in pairs if {pair.one, pair.other} <= kept]
    embedded = {
        key: hear(corpus.audio.audio(cuts[key]))
        for key in dict.fromkeys(key for pair in pairs for key in (pair.one, pair.other))
    }
    one_NE, other_NE = (np.stack([embedded[getattr(pair, side)] for pair in pairs]) for side in ("one", "other"))
    speakers = [(speaker_of(cuts[pair.one]), speaker_of(cuts[pair.other])) for pair in pairs]
    score = eer_score(cosines(one_NE, other_NE), [pair.same for pair in pairs], speakers, seed=seed)
    return Rate(value=score.value, low=score.low, high=score.high, cuts=len(embedded))


def _pairs(corpus: Corpus, split: str) -> Sequence[Pair]:
    pairs = corpus.pairs.get(split) or draw_pairs(list(corpus.splits.get(split, [])))
    if len({pair.same for pair in pairs}) < 2:
        raise InputError(
            f"corpus {corpus.name}: split {split}: no pairs to compare; expected speakers with several cuts"
        )
    return pairs


def _unit(layout: Layout) -> Unit:
    return "phones" if layout.unit == "phones" else "characters"


def _rate(reading: Reading, seed: int) -> Rate:
    score = reading.score("items", seed)
    return Rate(value=score.value, low=score.low, high=score.high, cuts=len(reading.references))
