"""Code that all readers share: it makes cuts, selects those that stay, and refuses splits that lose too many."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from lhotse import AudioSource, CutSet, Recording, SupervisionSegment
from lhotse.cut import MonoCut

from raysearch.corpora.corpus import Fault, Pair
from raysearch.corpora.readers.text import EMPTY
from raysearch.corpora.settings import ReadingSettings
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError, counted


def whole_cut(
    key: str,
    path: Path,
    samples: int,
    speaker: str,
    text: str | None = None,
    sex: str | None = None,
    phones: list[str] | None = None,
) -> MonoCut:
    """A cut that is a whole file."""
    seconds = samples / SAMPLE_RATE_HZ
    source = AudioSource(type="file", channels=[0], source=str(path))
    supervision = SupervisionSegment(
        id=key,
        recording_id=key,
        start=0.0,
        duration=seconds,
        text=text,
        speaker=speaker,
        gender=sex,
        custom={"phones": phones} if phones else None,
    )
    recording = Recording(id=key, sources=[source], sampling_rate=SAMPLE_RATE_HZ, num_samples=samples, duration=seconds)
    return MonoCut(id=key, start=0.0, duration=seconds, channel=0, supervisions=[supervision], recording=recording)


def select(
    split: str, cuts: Sequence[MonoCut], faults: list[Fault], settings: ReadingSettings
) -> tuple[CutSet, list[Fault]]:
    """The cuts of a split in the order of their ids, and the faults of all that was left out.

    `faults` are the cuts that cannot be used. `max_skipped` limits their share. Cuts shorter than `min_s` or longer
    than `max_s` are left out because the user chose so, and do not count against that limit.

    Raises: InputError if too many cuts cannot be used, or none is left.
    """
    if not cuts and faults and {fault.reason for fault in faults} == {EMPTY}:
        raise InputError(f"corpus: split {split}: no words in {counted(len(faults), 'transcript')}; expected some")
    _refuse_too_many(split, len(cuts) + len(faults), faults, settings.max_skipped)
    # Dev and test keep their long cuts, so that errors stay comparable.
    longest_s = settings.max_s if split == "train" else float("inf")
    kept, outside = [], []
    for cut in sorted(cuts, key=lambda cut: cut.id):
        if cut.duration < settings.min_s:
            outside.append(Fault(cut.id, f"shorter than min_s = {settings.min_s:g} s"))
        elif cut.duration > longest_s:
            outside.append(Fault(cut.id, f"longer than max_s = {settings.max_s:g} s"))
        else:
            kept.append(cut)
    if not kept:
        limits = f"min_s = {settings.min_s:g}, max_s = {settings.max_s:g}"
        # All may be at fault where a check allows any share: then the first reasons say more than the number.
        first = f"; first {_first(faults)}" if faults else ""
        total = len(cuts) + len(faults)
        raise InputError(f"corpus: split {split}: no usable cuts of {total}; expected at least one ({limits}){first}")
    return CutSet.from_cuts(kept), faults + outside


def distinct_pairs(pairs: Iterable[tuple[str, Pair]]) -> tuple[tuple[Pair, ...], list[Fault]]:
    """The pairs without those that flatter an error rate, and a fault for each of these. Each comes with its place.

    A recording is like itself by construction, and a pair that stands in a list twice counts twice.
    """
    kept: dict[frozenset[str], Pair] = {}
    faults = []
    for where, pair in pairs:
        both = frozenset((pair.one, pair.other))
        if len(both) == 1:
            faults.append(Fault(where, "a recording compared with itself"))
        elif both in kept:
            faults.append(Fault(where, "pair twice"))
        else:
            kept[both] = pair
    return tuple(kept.values()), faults


def _refuse_too_many(split: str, total: int, faults: Sequence[Fault], max_skipped: float) -> None:
    if len(faults) <= max_skipped * total:
        return
    raise InputError(
        f"corpus.max_skipped: split {split}: {len(faults)} of {total} cuts cannot be used "
        f"({len(faults) / total:.1%}); expected at most {max_skipped:.1%}; first {_first(faults)}"
    )


def _first(faults: Sequence[Fault]) -> str:
    return ", ".join(f"{fault.cut} ({fault.reason})" for fault in faults[:3])
