"""Common Voice (Ardila et al., LREC 2020), one language: `train.tsv`, `dev.tsv`, `test.tsv` and a folder of clips.

The columns client_id, path and sentence are read. Published clips are MP3 files at 32 or 48 kHz, which `raysearch
corpus prepare` turns once into FLAC files at 16 kHz. lhotse's recipe is not used, because it passes over missing clips
without a word and keeps the rate.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.listed import Row, read_rows
from raysearch.corpora.readers.text import without_punctuation
from raysearch.corpora.settings import SPLITS, CommonVoiceSettings
from raysearch.errors import InputError
from raysearch.files.text import read_table

_COLUMNS = ("client_id", "path", "sentence")


def read_commonvoice(settings: CommonVoiceSettings, cache: Path | None) -> Corpus:
    """The corpus below `settings.root`, with words without punctuation.

    Raises: InputError if a table or column is missing, or too much cannot be used.
    """
    rows = [replace(row, path=_usable(row.path, settings.root)) for row in listed_clips(settings)]
    return read_rows(f"commonvoice-{settings.root.resolve().name}", rows, settings, cache)


def listed_clips(settings: CommonVoiceSettings) -> list[Row]:
    """A row for every clip of the three tables, with the file that they name.

    Raises: InputError if a table or column is missing, or a row lacks its path.
    """
    clips = settings.clips or settings.root / "clips"
    return [row for split in SPLITS for row in _table(settings.root / f"{split}.tsv", split, clips)]


def _usable(path: Path, root: Path) -> Path:
    """The FLAC file that `raysearch corpus prepare` made of a clip, or the clip.

    Of a clip that could not be converted there is only the original, which shows why.
    """
    original = root / "clips" / path.name
    return next((one for one in (path.with_suffix(".flac"), path, original) if one.is_file()), path)


def _table(path: Path, split: str, clips: Path) -> Iterator[Row]:
    # Some sentences hold quotation marks that open and never close, so these may not quote.
    for number, row, fault in read_table(path, "corpus.root", _COLUMNS, "\t", quoted=False):
        if not row["path"].strip():
            raise InputError(f"corpus.root: {path}: line {number}: path: empty; expected the name of a clip")
        # The first tables of Common Voice name their clips without a suffix.
        clip = clips / (row["path"] if Path(row["path"]).suffix else f"{row['path']}.mp3")
        text = without_punctuation(row["sentence"])
        yield Row(clip.stem, clip, split, row["client_id"], text, fault=f"{path.name}: {fault}" if fault else None)
