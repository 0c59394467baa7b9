"""Intent and slots of a spoken request. The error is the share of requests of which anything was read wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from lhotse.cut import MonoCut

from raysearch.tasks.fields.counted import Counts, counted_interval, f1, share
from raysearch.tasks.fields.fields import ABSENT, Values, request_values
from raysearch.tasks.fields.task import FieldReadings, FieldTask
from raysearch.tasks.score import Score
from raysearch.tasks.settings import IntentSettings


class Intent(FieldTask):
    """Each slot is a choice among the values that train has for it, absence being one of them.

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

    def figures(self, readings: Sequence[FieldReadings], seed: int) -> dict[str, Score]:
        """`intent_accuracy`; with slots also `slot_f1` and `exact_match`, intent and all slots right."""
        figures = {"intent_accuracy": counted_interval([_intents(each) for each in readings], share, seed=seed)}
        if any(len(each.fields.values) > 1 for each in readings):
            figures["slot_f1"] = counted_interval([slot_counts(each) for each in readings], f1, seed=seed)
            figures["exact_match"] = counted_interval([each.right for each in readings], share, seed=seed)
        return figures


def slot_counts(readings: FieldReadings) -> Counts:
    """Of each cut: slots read right, read wrongly or though absent, and missed or read wrongly."""
    slots = [name for name in readings.fields.values if name != "intent"]
    counts = []
    for wanted, read in zip(readings.references, readings.hypotheses, strict=True):
        pairs = [(wanted.get(slot, ABSENT), read[slot]) for slot in slots]
        right = sum(ref == hyp != ABSENT for ref, hyp in pairs)
        given, said = sum(hyp != ABSENT for _, hyp in pairs), sum(ref != ABSENT for ref, _ in pairs)
        counts.append((right, given - right, said - right))
    return np.array(counts, dtype=float)


def _intents(readings: FieldReadings) -> Counts:
    """1 for each cut whose intent is right, beside 1 for each cut."""
    pairs = zip(readings.references, readings.hypotheses, strict=True)
    return np.array([[ref["intent"] == hyp["intent"], 1] for ref, hyp in pairs], dtype=float)
