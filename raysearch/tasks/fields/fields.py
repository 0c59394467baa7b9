"""What a classifying head decides of a cut: one field, or several, each with the values that train has.

A classification has the field `label`; a request has `intent` and one field a slot, whose value may be absent.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lhotse.cut import MonoCut

ABSENT = ""
"""Value of a slot that was not mentioned."""
UNKNOWN = -100
"""Index of a value that train has not: no loss is taken from it, and it cannot but be read wrong."""

Values = Mapping[str, str]
"""A cut's value of each field."""


@dataclass(frozen=True)
class Fields:
    values: Mapping[str, tuple[str, ...]]
    """Values of each field, sorted; absent is the first."""

    @classmethod
    def from_values(cls, seen: Iterable[Values]) -> Fields:
        """All fields and values of these cuts; a field that some of them lack can be absent."""
        seen = list(seen)
        names = list(dict.fromkeys(name for values in seen for name in values))
        return cls({name: tuple(sorted({values.get(name, ABSENT) for values in seen})) for name in names})

    @property
    def sizes(self) -> list[int]:
        return [len(values) for values in self.values.values()]

    def encode(self, values: Values) -> list[int]:
        """Index of each field's value."""
        found = ((options, values.get(name, ABSENT)) for name, options in self.values.items())
        return [options.index(value) if value in options else UNKNOWN for options, value in found]

    def decode(self, indices: Sequence[int]) -> dict[str, str]:
        return {name: options[index] for (name, options), index in zip(self.values.items(), indices, strict=True)}


def label_values(cut: MonoCut) -> dict[str, str] | None:
    """None if the cut has no label."""
    label = _custom(cut).get("label")
    return None if label is None else {"label": label}


def request_values(cut: MonoCut) -> dict[str, str] | None:
    """Intent and the slots that are there; None if the cut has no intent."""
    intent = _custom(cut).get("intent")
    return None if intent is None else {"intent": intent, **_custom(cut).get("slots", {})}


def _custom(cut: MonoCut) -> Mapping[str, Any]:
    custom: Mapping[str, Any] = cut.supervisions[0].custom or {}
    return custom
