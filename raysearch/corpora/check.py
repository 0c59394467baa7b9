"""The report behind `raysearch corpus check`: what a corpus holds, and what is doubtful about it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from itertools import combinations
from pathlib import Path

from lhotse.cut import MonoCut

from raysearch.corpora.audio import verdicts_on
from raysearch.corpora.corpus import Corpus, Fault
from raysearch.errors import counted

_EXAMPLES = 3


@dataclass(frozen=True)
class SplitCount:
    """What one split holds."""

    split: str
    cuts: int
    hours: float
    shortest_s: float
    longest_s: float
    speakers: int
    """Number of speakers, 0 if the corpus does not say who speaks."""
    words: int
    vocabulary: int
    """Number of different words."""
    phones: int
    """Number of phones, 0 if the corpus has none."""
    without_phones: int
    """Number of cuts that have no phones."""


@dataclass(frozen=True)
class FaultGroup:
    """All faults that have the same reason."""

    reason: str
    count: int
    first: tuple[str, ...]
    """Ids of the first few cuts with this fault."""


@dataclass(frozen=True)
class Checked:
    """The whole report on a corpus."""

    name: str
    fingerprint: str
    splits: tuple[SplitCount, ...]
    faults: tuple[FaultGroup, ...]
    """Faults grouped by reason, the most frequent first."""
    warnings: tuple[str, ...]
    """One line for each thing that makes errors look better than they are."""

    def lines(self) -> list[str]:
        """The report as text: a line for each split, for each reason why cuts were left out, and for each warning."""
        splits = [
            f"{one.split}: {counted(one.cuts, 'cut')}, {one.hours:.3f} h, {one.shortest_s:.1f} to "
            f"{one.longest_s:.1f} s each, {counted(one.speakers, 'speaker')}, {counted(one.words, 'word')} "
            f"({one.vocabulary:,} different), {counted(one.phones, 'phone')}"
            for one in self.splits
        ]
        faults = [
            f"left out: {counted(one.count, 'cut')}: {one.reason}; first: {', '.join(one.first)}" for one in self.faults
        ]
        return [*splits, *faults, *(f"warning: {line}" for line in self.warnings)]

    def document(self) -> dict[str, object]:
        """The report as a mapping that JSON can hold."""
        return asdict(self)


def check_corpus(corpus: Corpus, cache: Path | None = None) -> Checked:
    """Counts, faults and warnings of a corpus that was read.

    `cache` is the file of verdicts that its reader used, so that nothing is decoded again.
    """
    return Checked(
        corpus.name,
        corpus.fingerprint,
        tuple(_count(split, list(cuts)) for split, cuts in corpus.splits.items()),
        tuple(_grouped(corpus.faults)),
        (*_shared_speakers(corpus), *_shared_recordings(corpus, cache)),
    )


def _count(split: str, cuts: list[MonoCut]) -> SplitCount:
    supervisions = [cut.supervisions[0] for cut in cuts]
    words = [word for supervision in supervisions for word in (supervision.text or "").split()]
    phones = [(supervision.custom or {}).get("phones", []) for supervision in supervisions]
    return SplitCount(
        split,
        cuts=len(cuts),
        hours=sum(cut.duration for cut in cuts) / 3600,
        shortest_s=min(cut.duration for cut in cuts),
        longest_s=max(cut.duration for cut in cuts),
        speakers=len(_speakers(cuts)),
        words=len(words),
        vocabulary=len(set(words)),
        phones=sum(map(len, phones)),
        without_phones=sum(not each for each in phones),
    )


def _grouped(faults: Iterable[Fault]) -> list[FaultGroup]:
    cuts: dict[str, list[str]] = defaultdict(list)
    for fault in faults:
        cuts[fault.reason].append(fault.cut)
    groups = [FaultGroup(reason, len(names), tuple(names[:_EXAMPLES])) for reason, names in cuts.items()]
    return sorted(groups, key=lambda group: -group.count)


def _shared_speakers(corpus: Corpus) -> list[str]:
    speakers = {split: _speakers(cuts) for split, cuts in corpus.splits.items()}
    return [
        f"{one} and {other} share {counted(len(both), 'speaker')}: {_first(both)}"
        for one, other in combinations(speakers, 2)
        if (both := speakers[one] & speakers[other])
    ]


def _shared_recordings(corpus: Corpus, cache: Path | None) -> list[str]:
    # Recordings in archives are not looked at before they are wanted, so they cannot be compared.
    files = {
        split: {_file(cut) for cut in cuts if cut.recording.sources[0].type == "file"}
        for split, cuts in corpus.splits.items()
    }
    verdicts = verdicts_on(set().union(*files.values()), cache)
    names = {
        split: {verdicts[path].digest: path.stem for path in sorted(paths) if verdicts[path].digest}
        for split, paths in files.items()
    }
    return [
        f"{one} and {other} share {counted(len(both), 'recording')}: {_first(names[one][digest] for digest in both)}"
        for one, other in combinations(names, 2)
        if (both := names[one].keys() & names[other].keys())
    ]


def _speakers(cuts: Iterable[MonoCut]) -> set[str]:
    return {cut.supervisions[0].speaker for cut in cuts} - {None}


def _file(cut: MonoCut) -> Path:
    return Path(cut.recording.sources[0].source)


def _first(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_EXAMPLES]) + (", ..." if len(ordered) > _EXAMPLES else "")
