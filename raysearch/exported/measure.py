"""Measures the errors of an exported model on a split of a search's corpus."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from raysearch.corpora.batches import in_evaluation_order
from raysearch.corpora.corpus import Corpus, Pair
from raysearch.corpora.crops import speaker_of
from raysearch.deploy.runtime.transcribe import Audio, Layout, Run, log_probs, mean_over_windows
from raysearch.deploy.runtime.verify_speaker import embedding
from raysearch.errors import InputError
from raysearch.evidence.kept import judged_pairs
from raysearch.settings import Outcome
from raysearch.tasks.ctc.recognition import Reading
from raysearch.tasks.ctc.slot_filling import slot_score
from raysearch.tasks.ctc.tokens import Unit, is_labelled, reference
from raysearch.tasks.fields.classification import Classification
from raysearch.tasks.fields.fields import Fields, Values, label_values, request_values
from raysearch.tasks.fields.intent import Intent
from raysearch.tasks.fields.task import FieldReadings
from raysearch.tasks.score import Score
from raysearch.tasks.settings import ClassificationSettings, IntentSettings
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
    whole, groups = _scores(hear, layout, corpus, split, seed, most)
    return _rate(whole), {name: _rate(one) for name, one in groups.items()}


def measure_score(hear: Hear, layout: Layout, corpus: Corpus, split: str, seed: int) -> Score:
    """The error over all cuts of the split, with what is kept of it cut by cut.

    Raises: InputError if the split has nothing to measure on.
    """
    return _scores(hear, layout, corpus, split, seed, None)[0]


def _scores(
    hear: Hear, layout: Layout, corpus: Corpus, split: str, seed: int, most: int | None
) -> tuple[Score, dict[str, Score]]:
    if layout.unit == "speaker":
        return _speaker_error(hear, layout, corpus, split, seed, most), {}
    # The order is the one in which tasks judge students: intervals and what is kept of both compare then.
    cuts = in_evaluation_order(some_cuts(corpus, split, layout, most))
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
) -> tuple[Score, dict[str, Score]]:
    unit = _unit(layout)
    whole, groups = Reading([], [], []), defaultdict[str, Reading](lambda: Reading([], []))
    for cut in cuts:
        expected, got = reference(cut, unit), layout.items(hear(corpus.audio.audio(cut)))
        gender = cut.supervisions[0].gender
        whole.cuts.append(cut)
        for reading in (whole, *([groups[gender]] if gender else [])):
            reading.references.append(expected)
            reading.hypotheses.append(got)
    scored = {name: one for name, one in sorted(groups.items()) if len(one.references) >= LEAST_CUTS}
    score = slot_score if unit == "slots" else _item_score
    by_gender = {name: score(one, seed) for name, one in scored.items() if any(one.references)}
    return score(whole, seed), by_gender


def _item_score(reading: Reading, seed: int) -> Score:
    """The error rate of phones or words."""
    return reading.score("items", seed)


def _field_error(hear: Hear, layout: Layout, corpus: Corpus, cuts: Sequence[Any], seed: int) -> Score:
    """The share of cuts in which any field is read wrong, in percent."""
    fields = Fields({name: tuple(values) for name, values in layout.fields.items()})
    said = [_values(cut, layout) or {} for cut in cuts]
    read = FieldReadings(fields, said, [hear(corpus.audio.audio(cut)) for cut in cuts], list(cuts))
    labelled = "label" in layout.fields
    task = Classification(ClassificationSettings()) if labelled else Intent(IntentSettings())
    return task.score([corpus.name], [read], seed)


def _values(cut: Any, layout: Layout) -> Values | None:
    return label_values(cut) if "label" in layout.fields else request_values(cut)


def _speaker_error(hear: Hear, layout: Layout, corpus: Corpus, split: str, seed: int, most: int | None) -> Score:
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
    scores_N, same_N = cosines(one_NE, other_NE), [pair.same for pair in pairs]
    score = eer_score(scores_N, same_N, speakers, seed=seed)
    spoken_by = {key: speaker_of(cuts[key]) for key in embedded}
    judged = judged_pairs(spoken_by, [(pair.one, pair.other) for pair in pairs], same_N, scores_N)
    return replace(score, counts={**score.counts, "cuts": len(embedded)}, judged=judged)


def _pairs(corpus: Corpus, split: str) -> Sequence[Pair]:
    pairs = corpus.pairs.get(split) or draw_pairs(list(corpus.splits.get(split, [])))
    if len({pair.same for pair in pairs}) < 2:
        raise InputError(
            f"corpus {corpus.name}: split {split}: no pairs to compare; expected speakers with several cuts"
        )
    return pairs


def _unit(layout: Layout) -> Unit:
    if layout.unit == "slots":
        return "slots"
    return "phones" if layout.unit == "phones" else "characters"


def _rate(score: Score) -> Rate:
    return Rate(value=score.value, low=score.low, high=score.high, cuts=score.counts["cuts"])
