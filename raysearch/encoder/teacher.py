"""The teacher as all packages above this one know it: a frozen encoder, the hash of its weights, its own errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from raysearch.encoder.encoder import Encoder


@dataclass(frozen=True)
class Teacher:
    """The encoder that is imitated. It is frozen and in eval mode for as long as it lives."""

    encoder: Encoder
    key: str
    """Hash of the teacher's weights. It is a part of the key of every label set that the teacher makes."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """The teacher's own errors on dev and test, in percent, so that fronts can mark it."""
