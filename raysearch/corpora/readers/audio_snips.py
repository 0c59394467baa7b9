"""Reads Audio SNIPS as s3prl lays it out: requests that synthetic voices speak, with the slots marked in their words.

A line of `all.iob.snips.txt` is `<id> BOS <words> EOS`, a tab, and `O <labels> <intent>`. A word has a label, which is
its slot, or `O`. An id is `<speaker>-snips-<split>-<number>`, and `<split>/<id>.wav` is its recording.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.listed import Row, read_rows
from raysearch.corpora.readers.text import is_recording, numbered
from raysearch.corpora.settings import AudioSnipsSettings
from raysearch.errors import InputError, quoted
from raysearch.files.text import read_text

_FOLDERS = {"train": "train", "dev": "valid", "test": "test"}
_LIST = "all.iob.snips.txt"
_ID = re.compile(r"(?P<speaker>[^-]+)-snips-(?P<folder>train|valid|test)-\d+")
_OUTSIDE = "O"
_PUNCTUATION = set("?!.,;-")


def read_audio_snips(settings: AudioSnipsSettings, cache: Path | None) -> Corpus:
    """The corpus below `settings.root`, of the speakers that each split names. A cut has its words as text, and in
    `custom` the `intent` and its `marked` words: `PLAY <artist>THE BEATLES</artist>`.

    A line without a recording is a fault, and so are a recording without a line, and one with more words than labels.

    Raises: InputError if the list is missing or has an id of another form, or as `read_rows`.
    Source: s3prl at commit ec8064b, downstream `ctc`: `corpus/snips.py`, and `text.py` for punctuation and `&`.
    """
    root = settings.root.resolve()
    lines = _lines(root / _LIST)
    rows = []
    for split, folder in _FOLDERS.items():
        paths = {path.stem: path for path in sorted((root / folder).rglob("*")) if is_recording(path)}
        for key in sorted(paths.keys() | {key for key in lines if _part(key, "folder") == folder}):
            speaker = _part(key, "speaker")
            if speaker in getattr(settings.speakers, split):
                rows.append(_row(key, paths.get(key, root / folder / f"{key}.wav"), split, speaker, lines.get(key)))
    return read_rows("audio-snips", rows, settings, cache)


def marked(words: Sequence[str], labels: Sequence[str]) -> str:
    """The words with the name of a slot in angle brackets before and behind it. Neighbours of one name are one slot."""
    found = []
    for name, pairs in groupby(zip(words, labels, strict=True), key=lambda pair: pair[1]):
        text = " ".join(word for word, _ in pairs)
        found.append(text if name == _OUTSIDE else f"<{name}>{text}</{name}>")
    return " ".join(found)


def _lines(path: Path) -> dict[str, str]:
    """The rest of each line, by its id."""
    found = {}
    for number, line in numbered(read_text(path, "corpus.root", "a list of requests with a label for each word")):
        key, _, rest = line.strip().partition(" ")
        if not _ID.fullmatch(key):
            where = f"corpus.root: {path}: line {number}"
            raise InputError(f"{where}: {quoted(key)}; expected <speaker>-snips-<train, valid or test>-<number>")
        found[key] = rest
    return found


def _part(key: str, name: str) -> str:
    """The speaker or the folder that an id names. Empty if the id has another form."""
    found = _ID.fullmatch(key)
    return found[name] if found else ""


def _row(key: str, path: Path, split: str, speaker: str, line: str | None) -> Row:
    if line is None:
        return Row(key, path, split, speaker, fault=f"no line in {_LIST}")
    text, _, tags = line.partition("\t")
    words, labels = text.split()[1:-1], tags.split()[1:-1]
    if len(words) != len(labels):
        return Row(key, path, split, speaker, fault=f"{len(words)} words with {len(labels)} labels")
    spoken = [
        ("AND" if word == "&" else word.upper(), label)
        for word, label in zip(words, labels, strict=True)
        if not set(word) <= _PUNCTUATION
    ]
    custom = {"intent": tags.split()[-1], "marked": marked([w for w, _ in spoken], [one for _, one in spoken])}
    return Row(key, path, split, speaker, " ".join(word for word, _ in spoken), custom)
