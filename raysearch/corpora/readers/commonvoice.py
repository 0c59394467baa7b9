"""Common Voice (Ardila et al., LREC 2020), one language: `train.tsv`, `dev.tsv`, `test.tsv` and a folder of clips.

The columns client_id, path and sentence are read. Published clips are MP3 files at 32 or 48 kHz, which `raysearch
corpus prepare` turns once into FLAC files at 16 kHz. lhotse's recipe is not used, because it passes over missing clips
without a word and keeps the rate.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.listed import Row, read_rows
from raysearch.corpora.settings import SPLITS, CommonVoiceSettings
from raysearch.errors import InputError

_COLUMNS = ("client_id", "path", "sentence")


def read_commonvoice(settings: CommonVoiceSettings, cache: Path | None) -> Corpus:
    """The corpus below `settings.root`, with words without punctuation.

    Raises: InputError if a table or column is missing, or too much cannot be used.
    """
    rows = [replace(row, path=_usable(row.path)) for row in listed_clips(settings)]
    return read_rows(f"commonvoice-{settings.root.resolve().name}", rows, settings, cache)


def listed_clips(settings: CommonVoiceSettings) -> list[Row]:
    """A row for every clip of the three tables, with the file that they name.

    Raises: InputError if a table or column is missing, or a row lacks its path or sentence.
    """
    clips = settings.clips or settings.root / "clips"
    return [row for split in SPLITS for row in _table(settings.root / f"{split}.tsv", split, clips)]


def _usable(path: Path) -> Path:
    """The clip, or the FLAC file that `raysearch corpus prepare` made of it."""
    prepared = path.with_suffix(".flac")
    return prepared if prepared.is_file() else path


def _table(path: Path, split: str, clips: Path) -> Iterator[Row]:
    try:
        with path.open(encoding="utf-8", newline="") as file:
            # Some sentences hold quotation marks that open and never close, so these may not quote.
            reader = csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
            missing = [column for column in _COLUMNS if column not in (reader.fieldnames or [])]
            if missing:
                raise InputError(f"corpus.root: {path}: no column {missing[0]}; expected {', '.join(_COLUMNS)}")
            for number, row in enumerate(reader, start=2):
                if not row["path"] or not row["sentence"]:
                    raise InputError(f"corpus.root: {path}: line {number}: {row}; expected a path and a sentence")
                text = re.sub(r"[^\w\s'’-]", " ", row["sentence"])
                yield Row(Path(row["path"]).stem, clips / row["path"], split, row["client_id"], text)
    except OSError as err:
        raise InputError(f"corpus.root: {path}: {err.strerror}; expected a table of {', '.join(_COLUMNS)}") from err
    except UnicodeDecodeError as err:
        raise InputError(f"corpus.root: {path}: not UTF-8; expected a table of {', '.join(_COLUMNS)}") from err
