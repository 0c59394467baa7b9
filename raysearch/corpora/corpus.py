"""A corpus, as every reader returns it: lhotse manifests, and what was left out of them. Audio stays on disk.

A cut is a lhotse `MonoCut` with one 16 kHz mono recording and one supervision. The supervision holds `text` (upper-case
words, may be None) and `speaker`. Its `custom` holds what else the corpus knows: `phones` (list of str), `intent`,
`slots`, `label`, `marked` (words with the marks of slots among them). In a corpus that was joined from several,
`custom` also holds `corpus`, the name of the cut's own one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from lhotse import CutSet
from lhotse.cut import MonoCut

from raysearch.corpora.batches import AudioStore
from raysearch.files.digest import content_digest


@dataclass(frozen=True)
class Fault:
    """A recording or transcript that cannot be used, and why."""

    cut: str
    """Id of the cut, or name of the file if there is no cut."""
    reason: str


@dataclass(frozen=True)
class Pair:
    """Two cuts of a split, by id, and whether one person speaks in both."""

    same: bool
    one: str
    other: str


@dataclass(frozen=True)
class Corpus:
    """A set of recordings with splits, faults and what its trial lists compare."""

    name: str
    splits: Mapping[str, CutSet]
    """The cuts of the splits `train`, `dev` and `test`, sorted by id and all in memory. Dev chooses, test reports."""
    faults: tuple[Fault, ...] = field(default=())
    """Recordings and transcripts that were left out, each with its reason."""
    pairs: Mapping[str, tuple[Pair, ...]] = field(default_factory=dict)
    """Pairs of cuts that the corpus's own trial lists compare, by split. It is empty if there are no such lists."""
    audio: AudioStore = field(default_factory=AudioStore, compare=False, repr=False)
    """Store of decoded audio, shared by all that is done with this corpus in this process."""

    @cached_property
    def fingerprint(self) -> str:
        """Hash of ids, lengths and supervisions. Folder names do not enter, so equal corpora share label sets."""
        return content_digest(
            json.dumps([split, *_identity(cut)], sort_keys=True)
            for split in sorted(self.splits)
            for cut in self.splits[split]
        )

    def hours(self, split: str) -> float:
        """Hours of audio in a split."""
        return sum(cut.duration for cut in self.splits[split]) / 3600


def _identity(cut: MonoCut) -> list[object]:
    supervision = cut.supervisions[0]
    return [cut.id, cut.num_samples, supervision.text, supervision.speaker, supervision.custom]
