"""Reads LibriSpeech and whatever is laid out like it: `<folder>/<speaker>/<chapter>/<utterance>.flac`.

Beside the audio lies `<speaker>-<chapter>.trans.txt`, with lines such as

    1089-134686-0000 HE HOPED THERE WOULD BE STEW FOR DINNER

The root may hold `SPEAKERS.TXT`, with lines `ID | SEX | ...` and comments after `;`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from lhotse.cut import MonoCut

from raysearch.corpora.audio import verdicts_on
from raysearch.corpora.corpus import Corpus, Fault
from raysearch.corpora.readers.reading import select, whole_cut
from raysearch.corpora.readers.text import EMPTY, is_recording, numbered, words_of
from raysearch.corpora.readers.trial_list import pairs_of, read_speaker_lists
from raysearch.corpora.settings import SPLITS, An4Settings, LibriSpeechSettings, ReadingSettings, TrialList
from raysearch.errors import InputError
from raysearch.files.text import decoded, read_text


def read_librispeech(settings: LibriSpeechSettings, cache: Path | None) -> Corpus:
    """The corpus below `settings.root`. `cache` is a JSON file that keeps verdicts on audio files.

    Raises: InputError if a folder or phones file is missing, or too much cannot be used.
    """
    splits = settings.splits.model_dump()
    phones = {
        folder: settings.phones / f"{settings.root.resolve().name}-{folder}.txt"
        for folders in splits.values()
        for folder in folders
        if settings.phones
    }
    return read_tree(settings.root.resolve().name, settings.root, splits, phones, settings, cache)


def read_an4(settings: An4Settings, cache: Path | None) -> Corpus:
    """The AN4 corpus, read as LibriSpeech from AN4's folders.

    Phones are taken from where they usually lie, and pairs from the trial lists at the root, if there are any.
    Raises: InputError as `read_librispeech`, or if a list of recordings cannot be understood.
    """
    folder = settings.phones or settings.root.resolve().parent.parent / "phones"
    phones = {split: folder / f"an4-{split}.txt" for split in SPLITS if settings.phones or folder.is_dir()}
    corpus = read_tree("an4", settings.root, {split: [split] for split in SPLITS}, phones, settings, cache)
    if settings.more:
        cuts, faults = read_speaker_lists(settings.more, "corpus.more", cache)
        train, left_out = select("train", [*corpus.splits["train"], *cuts], faults, settings)
        corpus = replace(corpus, splits={**corpus.splits, "train": train}, faults=(*corpus.faults, *left_out))
    lists = {split: TrialList(file=settings.root / f"veri_{split}.txt") for split in ("dev", "test")}
    return pairs_of(corpus, {split: one for split, one in lists.items() if one.file.is_file()})


def read_tree(
    name: str,
    root: Path,
    splits: Mapping[str, Sequence[str]],
    phones: Mapping[str, Path],
    settings: ReadingSettings,
    cache: Path | None,
) -> Corpus:
    """A corpus of LibriSpeech's layout. `splits` names the folders below `root` that make each split.

    `phones` gives the file of phones of each folder that has one.
    Raises: InputError as `read_librispeech`.
    """
    root = root.resolve()  # cuts name their files, and workers may run in other folders
    _refuse_missing(root, splits, phones)
    sexes = _read_sexes(root / "SPEAKERS.TXT")
    found, everything = {}, []
    for split, folders in splits.items():
        pronounced, again = _read_phones([phones[folder] for folder in folders if folder in phones])
        cuts, faults = _read_split([root / folder for folder in folders], sexes, pronounced, cache)
        found[split], left_out = select(split, cuts, [*again, *faults], settings)
        everything += left_out
    return Corpus(name, found, tuple(everything))


def _read_split(
    folders: Iterable[Path], sexes: Mapping[str, str], phones: Mapping[str, list[str]], cache: Path | None
) -> tuple[list[MonoCut], list[Fault]]:
    texts, faults = _read_texts(path for folder in folders for path in sorted(folder.glob("*/*/[!.]*.trans.txt")))
    files = (path for folder in folders for path in sorted(folder.glob("*/*/*")))
    paths, again = _by_id(path for path in files if is_recording(path))
    faults += again
    verdicts = verdicts_on(list(paths.values()), cache)
    cuts = []
    for key in sorted(paths.keys() | texts.keys()):
        if key not in paths:
            reason: str | None = "transcript without audio"
        elif key not in texts:
            reason = "audio without transcript"
        else:
            reason = verdicts[paths[key]].fault or (None if texts[key] else EMPTY)
        if reason:
            faults.append(Fault(key, reason))
        else:
            path = paths[key]
            speaker = path.parent.parent.name
            samples = verdicts[path].samples
            text = " ".join(texts[key])
            cuts.append(whole_cut(key, path, samples, speaker, text, sexes.get(speaker), phones.get(key)))
    return cuts, faults


def _by_id(paths: Iterable[Path]) -> tuple[dict[str, Path], list[Fault]]:
    found: dict[str, Path] = {}
    faults = []
    for path in paths:
        if path.stem in found:
            faults.append(Fault(path.stem, "utterance id used twice"))
        else:
            found[path.stem] = path
    return found, faults


def _read_texts(paths: Iterable[Path]) -> tuple[dict[str, list[str]], list[Fault]]:
    texts: dict[str, list[str]] = {}
    faults = []
    for path in paths:
        try:
            lines = list(_lines(decoded(path.read_bytes())))
        except UnicodeDecodeError:
            faults.append(Fault(path.name, "transcript file is not UTF-8"))
            continue
        except OSError as err:
            faults.append(Fault(path.name, f"transcript file cannot be read: {err.strerror}"))
            continue
        for key, words in lines:
            if key in texts:
                faults.append(Fault(key, "transcript twice"))
            else:
                texts[key] = words_of(" ".join(words))
    return texts, faults


def _read_phones(paths: Iterable[Path]) -> tuple[dict[str, list[str]], list[Fault]]:
    phones: dict[str, list[str]] = {}
    faults = []
    for path in paths:
        for key, words in _lines(read_text(path, "corpus.phones", "lines `<utterance> PH PH ...`")):
            if key in phones:
                faults.append(Fault(key, "phones twice"))
            else:
                phones[key] = words
    return phones, faults


def _lines(text: str) -> Iterator[tuple[str, list[str]]]:
    """The id and the words on each line that is not blank."""
    for _, line in numbered(text):
        key, *words = line.split()
        yield key, words


def _read_sexes(path: Path) -> dict[str, str]:
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8-sig", errors="replace").split("\n")
    rows = [[cell.strip() for cell in line.split("|")] for line in lines if line.strip() and not line.startswith(";")]
    return {row[0]: row[1] for row in rows if len(row) > 1}


def _refuse_missing(root: Path, splits: Mapping[str, Sequence[str]], phones: Mapping[str, Path]) -> None:
    if not root.is_dir():
        names = ", ".join(folder for folders in splits.values() for folder in folders)
        raise InputError(f"corpus.root: {root}: no such folder; expected one that holds {names}")
    for split, folders in splits.items():
        for folder in folders:
            if not (root / folder).is_dir():
                raise InputError(
                    f"corpus.root: {root / folder}: no such folder; expected split {split} there, "
                    "as <speaker>/<chapter>/<utterance>.flac"
                )
    for path in phones.values():
        if not path.is_file():
            raise InputError(f"corpus.phones: {path}: no such file; expected lines `<utterance> PH PH ...`")
