"""Reads VoxCeleb's two kinds of list: who speaks in which recording, and which recordings to compare.

    id10270 id10270/5r0dWxy17C8/00001.wav                                a speaker list, to train on
    1 id10270/5r0dWxy17C8/00001.wav id10270/8jEAjG6SegY/00008.wav        a trial list: one speaker (1) or two (0)

A recording that does not decode is left out and counted, together with the pairs it is in. A line that cannot be
understood, or that names a missing file, is an error: an error rate over half a list is not that list's error rate. A
recording that is compared with itself, and a pair that comes again, are left out and counted: they flatter the rate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lhotse.cut import MonoCut

from raysearch.corpora.audio import verdicts_on
from raysearch.corpora.corpus import Corpus, Fault, Pair
from raysearch.corpora.readers.reading import distinct_pairs, whole_cut
from raysearch.corpora.readers.text import numbered
from raysearch.corpora.settings import SpeakerList, TrialList
from raysearch.errors import InputError, quoted
from raysearch.files.text import read_text


@dataclass(frozen=True)
class Line:
    """One line of a trial list."""

    where: str
    """Place of the line as `FILE:NUMBER`, for messages."""
    same: bool
    one: Path
    other: Path


def read_speaker_lists(lists: Sequence[SpeakerList], key: str, cache: Path | None) -> tuple[list[MonoCut], list[Fault]]:
    """Cuts of all listed recordings, and faults for those that cannot be used.

    Raises: InputError as `read_speakers`.
    """
    return recordings(read_speakers(lists, key), cache)


def read_speakers(lists: Sequence[SpeakerList], key: str) -> dict[Path, str]:
    """The speaker of each listed file. `key` is the setting that names the lists, for messages.

    Raises: InputError naming the file and line.
    """
    speakers: dict[Path, str] = {}
    for one in lists:
        root = _root(one)
        for where, (speaker, name) in _fields(one.file, key, 2, "<speaker> <path>"):
            if speakers.setdefault(root / name, speaker) != speaker:
                raise InputError(f"{where}: {name} is {speaker}'s here and {speakers[root / name]}'s above")
    return speakers


def recordings(speakers: Mapping[Path, str], cache: Path | None) -> tuple[list[MonoCut], list[Fault]]:
    """A cut of each file, and faults for the files that cannot be used."""
    cuts, faults = [], []
    for path, verdict in verdicts_on(list(speakers), cache).items():
        key = cut_id(path)
        if verdict.fault:
            faults.append(Fault(key, verdict.fault))
        else:
            cuts.append(whole_cut(key, path, verdict.samples, speakers[path]))
    return cuts, faults


def cut_id(path: Path) -> str:
    """The id `<speaker>-<session>-<utterance>` of a recording. VoxCeleb's file names alone are not unique."""
    return "-".join((*path.parts[-3:-1], path.stem))


def read_trial_list(settings: TrialList, key: str) -> list[Line]:
    """Every line of the list, with its files found. `key` is the setting that names the list, for messages.

    Raises: InputError naming the file and line.
    """
    root = _root(settings)
    lines = []
    for where, (label, *names) in _fields(settings.file, key, 3, "1 <path> <path> or 0 <path> <path>"):
        if label not in ("0", "1"):
            raise InputError(f"{where}: {quoted(label)}; expected 1 (one speaker) or 0 (two)")
        line = Line(where, label == "1", root / names[0], root / names[1])
        _refuse_unlike(line)
        lines.append(line)
    # One recording is no comparison, whatever its line says.
    _refuse_one_kind(settings.file, len(lines), {line.same for line in lines if line.one != line.other})
    return lines


def pairs_of(corpus: Corpus, lists: Mapping[str, TrialList]) -> Corpus:
    """The corpus with the pairs of the trial lists, by split. Pairs of cuts that were left out are left out as well.

    Raises: InputError naming the file and line.
    """
    pairs, faults = {}, list(corpus.faults)
    for split, one in lists.items():
        lines = read_trial_list(one, f"corpus.{split}")
        pairs[split], left_out = _paired(lines, corpus.splits[split], {fault.cut for fault in corpus.faults})
        faults += left_out
    return replace(corpus, pairs=pairs, faults=tuple(faults))


def _paired(lines: Sequence[Line], cuts: Sequence[MonoCut], known: set[str]) -> tuple[tuple[Pair, ...], list[Fault]]:
    # A trial list names files, whatever ids their cuts have.
    ids = {Path(cut.recording.sources[0].source): cut.id for cut in cuts}
    pairs: list[tuple[str, Pair]] = []
    faults = []
    for line in lines:
        lost = [path for path in (line.one, line.other) if path not in ids]
        if not lost:
            pairs.append((line.where, Pair(line.same, ids[line.one], ids[line.other])))
        # Readers name their faults by either of these: LibriSpeech's by the file, VoxCeleb's by speaker and session
        # too.
        elif {cut_id(lost[0]), lost[0].stem} & known:
            faults.append(Fault(line.where, "pair with a recording that was left out"))
        else:
            raise InputError(f"{line.where}: {lost[0]}: not in this split; expected a recording of it")
    distinct, repeated = distinct_pairs(pairs)
    return distinct, faults + repeated


def _refuse_one_kind(file: Path, lines: int, kinds: set[bool]) -> None:
    for same, what in (
        (True, "1: no line compares a speaker with himself"),
        (False, "0: no line compares two speakers"),
    ):
        if same not in kinds:
            raise InputError(f"{file}:{lines}: end of list without a {what}; expected both kinds")


def _refuse_unlike(line: Line) -> None:
    for path in (line.one, line.other):
        if not path.is_file():
            raise InputError(f"{line.where}: {path}: no such file; expected a recording")
    speakers = [path.parts[-3] for path in (line.one, line.other)]
    if (speakers[0] == speakers[1]) != line.same:
        raise InputError(
            f"{line.where}: {int(line.same)}, but the paths name {speakers[0]} and {speakers[1]}; "
            f"expected {int(not line.same)}, or paths that end with <speaker>/<session>/<utterance>"
        )


def _fields(file: Path, key: str, count: int, form: str) -> Iterator[tuple[str, list[str]]]:
    """The place `FILE:NUMBER` and the words of each line that is not blank."""
    for number, line in numbered(read_text(file, key, f"lines `{form}`")):
        words = line.split()
        if len(words) != count:
            raise InputError(f"{file}:{number}: {quoted(line.strip())}; expected {form}")
        yield f"{file}:{number}", words


def _root(settings: SpeakerList | TrialList) -> Path:
    below = settings.file.parent / "wav"
    return (settings.root or (below if below.is_dir() else settings.file.parent)).resolve()
