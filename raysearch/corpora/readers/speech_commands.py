"""Reads Speech Commands (Warden 2018) as its archive unpacks: a folder for each word, and two lists for dev and test.

A line of `validation_list.txt` or `testing_list.txt` is a path, `<word>/<speaker>_nohash_<n>.wav`. All other recordings
are to train on. lhotse's recipe is not used, because it makes twelve classes of the 35 words and wants a second
archive.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.labelled import labelled_corpus
from raysearch.corpora.readers.listed import Row
from raysearch.corpora.readers.text import is_recording
from raysearch.corpora.settings import SpeechCommandsSettings
from raysearch.files.text import read_text

_LISTS = {"dev": "validation_list.txt", "test": "testing_list.txt"}


def read_speech_commands(settings: SpeechCommandsSettings, cache: Path | None) -> Corpus:
    """The corpus below `settings.root`, without its background noise. A cut's class is `custom.label`.

    Raises: InputError if a list is missing, and as `labelled_corpus`.
    """
    root = settings.root.resolve()
    held_out = {path: split for split, name in _LISTS.items() for path in _listed(root / name)}
    return labelled_corpus("speech-commands", list(_rows(root, held_out)), settings, cache)


def _listed(path: Path) -> list[str]:
    # Windows writes paths with backslashes.
    return read_text(path, "corpus.root", "a list of <word>/<file>.wav").replace("\\", "/").split()


def _rows(root: Path, held_out: dict[str, str]) -> Iterator[Row]:
    heard = {path.relative_to(root).as_posix() for path in root.glob("[!_.]*/*") if is_recording(path)}
    # A listed file that is not there becomes a fault. Leaving it out would make the split smaller in secret.
    for name in sorted(heard | held_out.keys()):
        word, _, file = name.partition("/")
        speaker = file.partition("_nohash_")[0]
        yield Row(
            PurePosixPath(name).with_suffix("").as_posix(),
            root / name,
            held_out.get(name, "train"),
            speaker,
            custom={"label": word},
        )
