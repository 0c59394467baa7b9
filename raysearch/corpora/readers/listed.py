"""Code that readers of listed recordings share: it makes a corpus of a list's rows, and refuses lists that mislead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import combinations
from pathlib import Path
from typing import Any

from lhotse import AudioSource, Recording, SupervisionSegment
from lhotse.cut import MonoCut

from raysearch.corpora.audio import Verdict, verdicts_on
from raysearch.corpora.corpus import Corpus, Fault
from raysearch.corpora.readers.reading import select
from raysearch.corpora.readers.text import EMPTY, words_of
from raysearch.corpora.settings import SPLITS, ReadingSettings
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError, counted, quoted


@dataclass(frozen=True)
class Row:
    """One listed recording."""

    id: str
    path: Path
    split: str
    speaker: str | None = None
    text: str | None = None
    custom: Mapping[str, Any] = field(default_factory=dict)
    """Further facts that the list gives: `label`, or `intent` and `slots`."""
    fault: str | None = None
    """Why the row cannot be used, as far as the list shows it."""
    stretch: tuple[int, int] | None = None
    """First sample and number of samples, where the row is a stretch of its recording and not all of it."""
    silence: bool = False
    """Whether the row may be silent, because silence is what it is an example of."""


def read_rows(name: str, rows: Sequence[Row], settings: ReadingSettings, cache: Path | None) -> Corpus:
    """The corpus of these rows.

    Raises: InputError if a recording is in two splits, a split has none, or too much cannot be used.
    """
    verdicts = verdicts_on({row.path for row in rows}, cache)
    _refuse_shared(name, rows, verdicts)
    splits, everything = {}, []
    for split in SPLITS:
        cuts, faults, seen = [], [], set()
        for row in (row for row in rows if row.split == split):
            verdict = verdicts[row.path]
            heard = None if row.silence and verdict.silent else verdict.fault
            reason = row.fault or heard or ("listed twice" if row.id in seen else None)
            if not reason and row.text is not None and not words_of(row.text):
                reason = EMPTY
            if reason:
                faults.append(Fault(row.id, reason))
            else:
                cuts.append(_cut(row, verdict.samples))
            seen.add(row.id)
        splits[split], left_out = select(split, cuts, faults, settings)
        everything += left_out
    return Corpus(name, splits, tuple(everything))


def refuse_unknown(corpus: Corpus, key: str) -> None:
    """Refuses a corpus whose dev or test has a value of `custom[key]` that train lacks: it could never be recognised.

    Raises: InputError naming the value and the split.
    """
    known = Counter(values_of(corpus.splits["train"], key))
    for split in SPLITS[1:]:
        for value, count in Counter(values_of(corpus.splits[split], key)).items():
            if value not in known:
                close = get_close_matches(value, known, n=1)
                hint = f" (did you mean {close[0]!r}?)" if close else ""
                raise InputError(
                    f"corpus {corpus.name}: {key} {quoted(value)} of {counted(count, 'cut')} in {split} has no usable "
                    f"example in train; expected one of {', '.join(sorted(known))}{hint}"
                )


def check_split(split: object, where: str) -> str:
    """The name of a split, if `split` is one. Raises: InputError, which begins with `where`, if it is not."""
    if split not in SPLITS:
        raise InputError(f"{where}: split: {quoted(split)}; expected train, dev or test")
    return str(split)


def values_of(cuts: Iterable[MonoCut], key: str) -> list[str]:
    """The values of `custom[key]`, of those cuts that have it."""
    return [cut.supervisions[0].custom[key] for cut in cuts if key in cut.supervisions[0].custom]


def _refuse_shared(name: str, rows: Sequence[Row], verdicts: Mapping[Path, Verdict]) -> None:
    """Refuses a recording in two splits, even under two names: a student would have learned by heart what test asks.

    Two stretches of one recording are not the same.
    """
    found: dict[str, dict[tuple[str, tuple[int, int] | None], str]] = {split: {} for split in SPLITS}
    for row in rows:
        # A file that does not decode has no digest, so its path stands for it.
        found[row.split][verdicts[row.path].digest or str(row.path), row.stretch] = row.id
    for one, other in combinations(SPLITS, 2):
        if both := sorted(found[one].keys() & found[other].keys(), key=str):
            first = f"{found[one][both[0]]} = {found[other][both[0]]}"
            raise InputError(
                f"corpus {name}: {counted(len(both), 'recording')} both in {one} and in {other}; expected each in one "
                f"split; first {first}"
            )


def _cut(row: Row, samples: int) -> MonoCut:
    first, own = row.stretch or (0, samples)
    seconds = own / SAMPLE_RATE_HZ
    supervision = SupervisionSegment(
        id=row.id,
        recording_id=row.id,
        start=0.0,
        duration=seconds,
        text=None if row.text is None else " ".join(words_of(row.text)),
        speaker=row.speaker or None,
        custom=dict(row.custom),
    )
    source = AudioSource(type="file", channels=[0], source=str(row.path))
    recording = Recording(
        id=row.id,
        sources=[source],
        sampling_rate=SAMPLE_RATE_HZ,
        num_samples=samples,
        duration=samples / SAMPLE_RATE_HZ,
    )
    return MonoCut(
        id=row.id,
        start=first / SAMPLE_RATE_HZ,
        duration=seconds,
        channel=0,
        supervisions=[supervision],
        recording=recording,
    )
