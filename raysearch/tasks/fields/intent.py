"""The task `intent`: intent and slots of a spoken request, such as "play jazz in the kitchen".

The error is the share of requests in which anything was read wrongly.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from lhotse.cut import MonoCut

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError
from raysearch.evidence.resampling import share
from raysearch.tasks.fields.counted import Counts, counted_interval, f1
from raysearch.tasks.fields.fields import ABSENT, Values, request_values
from raysearch.tasks.fields.task import FieldReadings, FieldTask
from raysearch.tasks.score import Score
from raysearch.tasks.settings import IntentSettings


class Intent(FieldTask):
    """The choice of an intent, and of a value for each slot, among those in train. One of the values is absence.

    Cannot: read a slot's words one by one, as an open vocabulary needs.
    """

    name = "intent"
    key = "intent"
    settings: IntentSettings

    def values(self, cut: MonoCut) -> Values | None:
        values, slots = request_values(cut), self.settings.slots
        if values is None or slots is None:
            return values
        return {name: value for name, value in values.items() if name == "intent" or name in slots}

    def check(self, corpus: Corpus, encoders: Sequence[AnyConfig]) -> list[str]:
        known = {name for cut in corpus.splits["train"] for name in request_values(cut) or {}} - {"intent"}
        for slot in self.settings.slots or []:
            if slot not in known:
                raise InputError(f"task.slots: {slot!r}; expected some of {', '.join(sorted(known)) or 'none'}")
        return super().check(corpus, encoders)

    def figures(self, readings: Sequence[FieldReadings], seed: int) -> dict[str, Score]:
        """The figure `intent_accuracy`, and with slots also `slot_f1` and `exact_match`, in percent.

        `exact_match` is the share of requests whose intent and slots are all right.
        """
        figures = {"intent_accuracy": counted_interval([_intents(each) for each in readings], share, seed=seed)}
        if any(len(each.fields.values) > 1 for each in readings):
            figures["slot_f1"] = counted_interval([slot_counts(each) for each in readings], f1, seed=seed)
            figures["exact_match"] = counted_interval([each.right for each in readings], share, seed=seed)
        return figures


def slot_counts(readings: FieldReadings) -> Counts:
    """One row for each cut: slots read rightly, slots read wrongly or though absent, slots missed or read wrongly.

    These are the true positives, false positives and false negatives of F1. A wrong value is both of the latter.
    """
    slots = [name for name in readings.fields.values if name != "intent"]
    counts = []
    for wanted, read in zip(readings.references, readings.hypotheses, strict=True):
        pairs = [(wanted.get(slot, ABSENT), read[slot]) for slot in slots]
        right = sum(ref == hyp != ABSENT for ref, hyp in pairs)
        given, said = sum(hyp != ABSENT for _, hyp in pairs), sum(ref != ABSENT for ref, _ in pairs)
        counts.append((right, given - right, said - right))
    return np.array(counts, dtype=float)


def _intents(readings: FieldReadings) -> Counts:
    """One row for each cut: 1 if its intent is right and else 0, and beside it 1 for the cut itself."""
    pairs = zip(readings.references, readings.hypotheses, strict=True)
    return np.array([[ref["intent"] == hyp["intent"], 1] for ref, hyp in pairs], dtype=float)
