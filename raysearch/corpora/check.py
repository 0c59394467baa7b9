"""The report behind `raysearch corpus check`: what a corpus holds, and what is doubtful about it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from pathlib import Path

from lhotse.cut import MonoCut

from raysearch.corpora.audio import Verdict, verdicts_on
from raysearch.corpora.corpus import Corpus, Fault
from raysearch.errors import counted

_EXAMPLES = 3
_NUMBER = re.compile(r"\d[\d.,]*")


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
    """All faults that have the same reason, whatever numbers it holds."""

    reason: str
    """Reason of the first of them, with `and the like` if the numbers of others differ."""
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
    """One line for each thing that is doubtful, such as what makes errors look better than they are."""
    refused: str = ""
    """Why no student can be trained on the corpus or judged by it. Empty if one can."""

    def warned(self, lines: Iterable[str]) -> Checked:
        """The report with more warnings."""
        return replace(self, warnings=(*self.warnings, *lines))

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
        (*_shared_speakers(corpus), *_recordings(corpus, cache)),
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
    # A peak or a length may differ from file to file: thousands of lines of one kind would hide the others.
    kinds: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        kinds[_NUMBER.sub("0", fault.reason)].append(fault)
    return sorted(map(_group, kinds.values()), key=lambda group: -group.count)


def _group(faults: list[Fault]) -> FaultGroup:
    reason = faults[0].reason
    if any(fault.reason != reason for fault in faults):
        reason += ", and the like"
    return FaultGroup(reason, len(faults), tuple(fault.cut for fault in faults[:_EXAMPLES]))


def _shared_speakers(corpus: Corpus) -> list[str]:
    speakers = {split: _speakers(cuts) for split, cuts in corpus.splits.items()}
    return [
        f"{one} and {other} share {counted(len(both), 'speaker')}: {_first(both)}"
        for one, other in combinations(speakers, 2)
        if (both := speakers[one] & speakers[other])
    ]


def _recordings(corpus: Corpus, cache: Path | None) -> list[str]:
    # Recordings in archives are not looked at before they are wanted, so they cannot be compared.
    cuts = {
        split: [cut for cut in cuts if cut.recording.sources[0].type == "file"] for split, cuts in corpus.splits.items()
    }
    verdicts = verdicts_on({_file(cut) for own in cuts.values() for cut in own}, cache)
    twice = [line for split, own in cuts.items() for line in _under_two_names(split, own, verdicts)]
    return [*_shared_recordings(cuts, verdicts), *twice]


def _shared_recordings(cuts: Mapping[str, list[MonoCut]], verdicts: Mapping[Path, Verdict]) -> list[str]:
    names = {
        split: {verdicts[path].digest: path.stem for path in sorted(map(_file, own)) if verdicts[path].digest}
        for split, own in cuts.items()
    }
    return [
        f"{one} and {other} share {counted(len(both), 'recording')}: {_first(names[one][digest] for digest in both)}"
        for one, other in combinations(names, 2)
        if (both := names[one].keys() & names[other].keys())
    ]


def _under_two_names(split: str, cuts: list[MonoCut], verdicts: Mapping[Path, Verdict]) -> list[str]:
    """A line if recordings of a split are said to be of two speakers, or of two classes: one of the two is wrong."""
    same: dict[tuple[str, float, float], list[MonoCut]] = defaultdict(list)
    for cut in cuts:
        # Several cuts of a recording may well be of several speakers. The same stretch is not.
        same[verdicts[_file(cut)].digest, cut.start, cut.duration].append(cut)
    lines = []
    for what in ("speaker", "label"):
        found = [own for own in same.values() if len({_said(cut, what) for cut in own} - {None}) > 1]
        if found:
            names = sorted(f"{cut.id} ({_said(cut, what)})" for cut in found[0])
            first = f"{names[0]} and {names[-1]}"
            lines.append(f"{split}: {counted(len(found), 'recording')} under two {what}s: {first}")
    return lines


def _said(cut: MonoCut, what: str) -> str | None:
    supervision = cut.supervisions[0]
    said: str | None = supervision.speaker if what == "speaker" else (supervision.custom or {}).get(what)
    return said


def _speakers(cuts: Iterable[MonoCut]) -> set[str]:
    return {cut.supervisions[0].speaker for cut in cuts} - {None}


def _file(cut: MonoCut) -> Path:
    return Path(cut.recording.sources[0].source)


def _first(names: Iterable[str]) -> str:
    ordered = sorted(names)
    return ", ".join(ordered[:_EXAMPLES]) + (", ..." if len(ordered) > _EXAMPLES else "")
