"""Fields: what a classifying head decides about a cut. Each field has the values that occur in the train split.

A classification has one field, `label`. A spoken request has the field `intent` and one field for each slot, whose
value may be absent. In "play jazz in the kitchen" a slot is the room, and its value is the kitchen.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lhotse.cut import MonoCut

ABSENT = ""
"""The value of a slot that was not mentioned."""
UNKNOWN = -100
"""The index of a value that does not occur in train. It adds nothing to the loss, and it is always read wrongly."""

Values = Mapping[str, str]
"""The value of each field in one cut."""


@dataclass(frozen=True)
class Fields:
    """The fields that a head decides, and the values that it chooses among."""

    values: Mapping[str, tuple[str, ...]]
    """The values of each field, sorted, so that the empty string for an absent one comes first."""

    @classmethod
    def from_values(cls, seen: Iterable[Values]) -> Fields:
        """All fields and values that occur in these cuts. A field that some of the cuts lack can be absent."""
        seen = list(seen)
        # A dictionary keeps the order in which fields are met, where a set would not.
        names = list(dict.fromkeys(name for values in seen for name in values))
        return cls({name: tuple(sorted({values.get(name, ABSENT) for values in seen})) for name in names})

    @property
    def sizes(self) -> list[int]:
        """The number of values of each field."""
        return [len(values) for values in self.values.values()]

    def encode(self, values: Values) -> list[int]:
        """The index of each field's value."""
        found = ((options, values.get(name, ABSENT)) for name, options in self.values.items())
        return [options.index(value) if value in options else UNKNOWN for options, value in found]

    def decode(self, indices: Sequence[int]) -> dict[str, str]:
        """The value of each field, by its index."""
        return {name: options[index] for (name, options), index in zip(self.values.items(), indices, strict=True)}


def label_values(cut: MonoCut) -> dict[str, str] | None:
    """The label of a cut as the value of its one field. None if the cut has no label."""
    label = _custom(cut).get("label")
    return None if label is None else {"label": label}


def request_values(cut: MonoCut) -> dict[str, str] | None:
    """The intent of a request and the slots that were mentioned. None if the cut has no intent."""
    intent = _custom(cut).get("intent")
    return None if intent is None else {"intent": intent, **_custom(cut).get("slots", {})}


def _custom(cut: MonoCut) -> Mapping[str, Any]:
    custom: Mapping[str, Any] = cut.supervisions[0].custom or {}
    return custom
