"""Reads Speech Commands (Warden 2018) as its archive unpacks: a folder for each word, and two lists for dev and test.

A line of `validation_list.txt` or `testing_list.txt` is a path, `<word>/<speaker>_nohash_<n>.wav`. All other recordings
are to train on. A cut's class is its word, or one of the twelve classes that SUPERB tells apart. lhotse's recipe is not
used, because it knows the twelve classes alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from raysearch.corpora.audio import verdicts_on
from raysearch.corpora.corpus import Corpus, Fault
from raysearch.corpora.readers.labelled import labelled_corpus
from raysearch.corpora.readers.listed import Row
from raysearch.corpora.readers.text import is_recording
from raysearch.corpora.settings import SpeechCommandsSettings, TwelveCommandsSettings
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError
from raysearch.files.text import read_text

WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
"""The words that have a class of their own among the twelve."""
UNKNOWN, SILENCE = "_unknown_", "_silence_"
"""The classes of all other words, and of background noise."""
_NOISE = "_background_noise_"
_LISTS = {"dev": "validation_list.txt", "test": "testing_list.txt"}


def read_speech_commands(settings: SpeechCommandsSettings, cache: Path | None) -> Corpus:
    """The corpus below `settings.root`, without its background noise. A cut's class is `custom.label`.

    Raises: InputError if a list is missing, and as `labelled_corpus`.
    """
    return labelled_corpus("speech-commands", list(_words(settings.root.resolve())), settings, cache)


def read_twelve_commands(settings: TwelveCommandsSettings, cache: Path | None) -> Corpus:
    """The corpus below `settings.root` in twelve classes, with the published test set if `settings.test_root` names it.

    Silence is each whole second of the background noise. The last tenth of each noise, a second at least, is dev, and
    without `test_root` the tenth before that is test. Dev has as many other words as of each of the ten on average,
    evenly spaced, and so has such a test, because the published test set is laid out like that. A word that is left out
    is a fault that says so.

    Raises: InputError if a list, a folder or all noise is missing, and as `labelled_corpus`.
    Source: s3prl at commit ec8064b, downstream `speech_commands`, for the classes and the test set, and its
    `superb_ks.py` for noise in seconds. Deviation: there dev hears the same noise as train.
    """
    root = settings.root.resolve()
    _refuse_missing("corpus.root", root, (*WORDS, _NOISE), "each of the ten words, and of background noise")
    rows = [replace(row, custom={"label": _class_of(row.custom["label"])}) for row in _words(root)]
    left_out = []
    if settings.test_root:
        left_out = [Fault(row.id, "test is that of test_root") for row in rows if row.split == "test"]
        rows = [row for row in rows if row.split != "test"] + _published_test(settings.test_root.resolve())
    for split in ["dev"] if settings.test_root else ["dev", "test"]:
        surplus = _surplus([row for row in rows if row.split == split])
        left_out += [Fault(name, "more other words than are wanted of one class") for name in sorted(surplus)]
        rows = [row for row in rows if row.split != split or row.id not in surplus]
    rows += _silence(root, cache, tested=not settings.test_root)
    corpus = labelled_corpus("speech-commands-12", rows, settings, cache)
    return replace(corpus, faults=(*corpus.faults, *left_out))


def _class_of(word: str) -> str:
    return word if word in WORDS else UNKNOWN


def _words(root: Path) -> Iterator[Row]:
    """All recordings of words, each with its word as the label."""
    held_out = {path: split for split, name in _LISTS.items() for path in _listed(root / name)}
    heard = {path.relative_to(root).as_posix() for path in root.glob("[!_.]*/*") if is_recording(path)}
    # A listed file that is not there becomes a fault. Leaving it out would make the split smaller in secret.
    for name in sorted(heard | held_out.keys()):
        yield _row(root, name, held_out.get(name, "train"))


def _listed(path: Path) -> list[str]:
    # Windows writes paths with backslashes.
    return read_text(path, "corpus.root", "a list of <word>/<file>.wav").replace("\\", "/").split()


def _row(root: Path, name: str, split: str) -> Row:
    folder, _, file = name.partition("/")
    before, marked, _ = file.partition("_nohash_")
    # The published test set has the word of `_unknown_` before the speaker, and no speaker of `_silence_`.
    speaker = before.rpartition("_")[2] if marked else None
    key = PurePosixPath(name).with_suffix("").as_posix()
    return Row(key, root / name, split, speaker, custom={"label": folder}, silence=folder == SILENCE)


def _published_test(root: Path) -> list[Row]:
    classes = (*WORDS, UNKNOWN, SILENCE)
    _refuse_missing("corpus.test_root", root, classes, "each of the twelve classes")
    paths = sorted(path for name in classes for path in (root / name).iterdir() if is_recording(path))
    return [_row(root, path.relative_to(root).as_posix(), "test") for path in paths]


def _surplus(rows: Sequence[Row]) -> set[str]:
    """Ids of the other words that a split has beyond the mean number of cuts of the ten words."""
    unknown = [row.id for row in rows if row.custom["label"] == UNKNOWN]
    wanted = min(len(unknown), round((len(rows) - len(unknown)) / len(WORDS)))
    return set(unknown) - {unknown[len(unknown) * number // wanted] for number in range(wanted)}


def _silence(root: Path, cache: Path | None, *, tested: bool) -> Iterator[Row]:
    """Each whole second of background noise. Raises: InputError if none can be used."""
    verdicts = verdicts_on([path for path in sorted((root / _NOISE).iterdir()) if is_recording(path)], cache)
    if not any(one.samples >= SAMPLE_RATE_HZ and not one.fault for one in verdicts.values()):
        raise InputError(f"corpus.root: {root / _NOISE}: no usable second of noise; expected recordings at 16 kHz")
    for path, verdict in verdicts.items():
        seconds = verdict.samples // SAMPLE_RATE_HZ
        held_out = max(1, seconds // 10)
        fault = None if seconds else verdict.fault or "shorter than a second"
        for second in range(max(1, seconds)):
            left = (seconds - 1 - second) // held_out
            split = {0: "dev", 1: "test" if tested else "train"}.get(left, "train")
            stretch = (second * SAMPLE_RATE_HZ, SAMPLE_RATE_HZ)
            key = f"{_NOISE}/{path.stem}-{second:04}"
            yield Row(key, path, split, custom={"label": SILENCE}, fault=fault, stretch=stretch, silence=True)


def _refuse_missing(key: str, root: Path, folders: Iterable[str], of_what: str) -> None:
    """Raises: InputError naming the folders that are not there."""
    if missing := [name for name in folders if not (root / name).is_dir()]:
        raise InputError(f"{key}: {root}: no folder {', '.join(missing)}; expected recordings of {of_what}")
