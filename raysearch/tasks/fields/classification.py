"""The task `classification`: one class for each recording, judged by error rate, accuracy and macro F1."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from math import ceil

import numpy as np
from lhotse.cut import MonoCut

from raysearch.evidence.resampling import share
from raysearch.tasks.fields.counted import Counts, counted_interval, macro_f1
from raysearch.tasks.fields.fields import Values, label_values
from raysearch.tasks.fields.task import FieldReadings, FieldTask
from raysearch.tasks.score import Score
from raysearch.tasks.settings import ClassificationSettings


class Classification(FieldTask):
    """The choice of one class for each recording. Its only field is `label`."""

    name = "classification"
    key = "label"
    settings: ClassificationSettings

    def values(self, cut: MonoCut) -> Values | None:
        return label_values(cut)

    @property
    def balanced(self) -> bool:
        return self.settings.balanced

    def used(self, cuts: list[MonoCut], values: Mapping[str, Values], seed: int) -> list[MonoCut]:
        """The cuts whose labels are used: the share `labels` of each class, rounded up.

        With the same seed a smaller share is part of a larger one.
        """
        classes: dict[str, list[MonoCut]] = defaultdict(list)
        for cut in cuts:
            classes[values[cut.id]["label"]].append(cut)
        rng = np.random.default_rng(seed)
        chosen = set()
        for label in sorted(classes):
            own = classes[label]
            order = rng.permutation(len(own))
            chosen |= {own[index].id for index in order[: ceil(self.settings.labels * len(own))]}
        return [cut for cut in cuts if cut.id in chosen]

    def figures(self, readings: Sequence[FieldReadings], seed: int) -> dict[str, Score]:
        """The figures `accuracy` and `macro_f1`, in percent."""
        return {
            "accuracy": counted_interval([each.right for each in readings], share, seed=seed),
            "macro_f1": counted_interval([_by_class(each) for each in readings], macro_f1, seed=seed),
        }


def _by_class(readings: FieldReadings) -> Counts:
    """One row for each cut: true positives, then false positives, then false negatives, each by class."""
    classes = readings.fields.values["label"]
    wanted, read = (
        np.array([[values["label"] == label for label in classes] for values in each], dtype=float)
        for each in (readings.references, readings.hypotheses)
    )
    return np.concatenate([wanted * read, read * (1 - wanted), wanted * (1 - read)], axis=1)
