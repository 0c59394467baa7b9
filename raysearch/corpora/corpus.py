"""What every reader returns. Audio stays on disk: a corpus is lhotse manifests and what was left out of them.

A cut is a lhotse `MonoCut` with one 16 kHz mono recording and one supervision: `text` (upper-case words, may be None),
`speaker`, and in `custom` whatever the corpus knows more: `phones` (list of str), `intent`, `slots`, `label`,
and in a corpus joined of several `corpus`, its own one's name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from lhotse import CutSet
from lhotse.cut import MonoCut

from raysearch.corpora.batches import AudioStore
from raysearch.files.digest import content_digest


@dataclass(frozen=True)
class Fault:
    """A recording or transcript that cannot be used, and why."""

    cut: str
    """Cut id, or file name where there is no cut."""
    reason: str


@dataclass(frozen=True)
class Pair:
    """Two cuts of a split, by id, and whether one person speaks in both."""

    same: bool
    one: str
    other: str


@dataclass(frozen=True)
class Corpus:
    name: str
    splits: Mapping[str, CutSet]
    """Eager cut sets by split: `train`, `dev`, `test`; sorted by id. Dev chooses, test reports."""
    faults: tuple[Fault, ...] = field(default=())
    """What was skipped while reading."""
    pairs: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)
    """What the corpus's own trial lists compare, by split; empty where it has none."""
    audio: AudioStore = field(default_factory=AudioStore, compare=False, repr=False)
    """Decoded audio, shared by all that is done with this corpus in this process."""

    @property
    def fingerprint(self) -> str:
        """Hash of ids, lengths and supervisions, free of folder names: equal corpora share label sets."""
        return content_digest(
            json.dumps([split, *_identity(cut)], sort_keys=True)
            for split in sorted(self.splits)
            for cut in self.splits[split]
        )

    def hours(self, split: str) -> float:
        return sum(cut.duration for cut in self.splits[split]) / 3600


def _identity(cut: MonoCut) -> list[object]:
    supervision = cut.supervisions[0]
    return [cut.id, cut.num_samples, supervision.text, supervision.speaker, supervision.custom]
