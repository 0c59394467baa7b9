"""Brings a corpus into one form, once: lhotse cut manifests, the pairs beside them, and audio that can be used.

OUT/{train,dev,test}.jsonl.gz    cuts
OUT/{dev,test}.pairs             pairs that the corpus's own trial lists compare, if it has such lists
OUT/clips/                       16 kHz FLAC files, if the corpus comes in another format
OUT/corpus.json                  what the corpus was made from and what it holds; this file is written last
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import gcd
from pathlib import Path
from typing import Any

import soundfile
from scipy.signal import resample_poly

from raysearch.corpora.audio import CACHE_NAME, quiet_decoder
from raysearch.corpora.check import Checked, check_corpus
from raysearch.corpora.corpus import Corpus, Pair
from raysearch.corpora.readers.commonvoice import listed_clips
from raysearch.corpora.readers.manifests import pairs_file
from raysearch.corpora.readers.table import READERS, read_corpus
from raysearch.corpora.settings import CommonVoiceSettings, CorpusSettings
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError
from raysearch.files.whole import whole_file, write_whole
from raysearch.settings import Settings

KINDS = tuple(kind for kind in READERS if kind not in ("manifest", "shar", "synthetic", "several"))
"""What can be prepared: all but what is prepared already, made here, or joined of others."""
MARKER = "corpus.json"


class _Document(Settings):
    """The part of a search document that is needed here, so that errors name its keys."""

    corpus: CorpusSettings


def corpus_settings(kind: str, root: Path, changes: Mapping[str, Any]) -> CorpusSettings:
    """The settings of a corpus in its usual layout. Raises: InputError naming the key."""
    document: dict[str, Any] = {"kind": kind, "root": str(root)}
    if kind == "voxceleb":
        lists = {split: {"file": str(root / f"veri_{split}.txt")} for split in ("dev", "test")}
        document = {"kind": kind, "train": [{"file": str(root / "train_list.txt")}], **lists}
    return _Document.checked({"corpus": {**document, **changes}}).corpus


def prepare(settings: CorpusSettings, out: Path) -> Checked | None:
    """Reads and checks the corpus, writes it, and returns the report. None if that was done before.

    Raises: InputError if the corpus cannot be read, or if `out` holds another one.
    """
    marker = out / MARKER
    # Taken now, since the settings of Common Voice change below: the same request must find the same recipe.
    recipe = settings.model_dump(mode="json")
    if marker.is_file():
        if json.loads(marker.read_text())["settings"] != recipe:
            raise InputError(f"{marker}: another corpus was prepared here; expected a new folder")
        return None
    out.mkdir(parents=True, exist_ok=True)
    if isinstance(settings, CommonVoiceSettings):
        clips = [row.path for row in listed_clips(settings)]
        convert(clips, out / "clips")
        settings = settings.model_copy(update={"clips": out / "clips"})
    cache = out / "verdicts"
    corpus = read_corpus(settings, cache)
    checked = check_corpus(corpus, cache / CACHE_NAME)
    _write(corpus, out)
    write_whole(marker, json.dumps({"settings": recipe, **checked.document()}, indent=2, default=str))
    return checked


def convert(files: Iterable[Path], folder: Path) -> None:
    """Writes each file into `folder` as 16 kHz mono FLAC under its own name.

    A file that cannot be read is left out. Whoever reads the corpus looks at the original and says why.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = list(files)
    with quiet_decoder(files), ThreadPoolExecutor(max_workers=min(8, os.cpu_count() or 1)) as pool:
        list(pool.map(lambda path: _convert(path, folder / f"{path.stem}.flac"), files))


def _convert(path: Path, out: Path) -> None:
    if out.is_file():
        return
    try:
        audio_SC, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.LibsndfileError):
        return
    common = gcd(rate_hz, SAMPLE_RATE_HZ)
    audio_S = resample_poly(audio_SC.mean(axis=1), SAMPLE_RATE_HZ // common, rate_hz // common)
    with whole_file(out) as part:
        soundfile.write(part, audio_S.clip(-1, 1), SAMPLE_RATE_HZ, format="FLAC", subtype="PCM_16")


def _write(corpus: Corpus, out: Path) -> None:
    for split, cuts in corpus.splits.items():
        path = out / f"{split}.jsonl.gz"
        cuts.to_file(path)
        if pairs := corpus.pairs.get(split):
            pairs_file(path).write_text("".join(map(_line, pairs)))


def _line(pair: Pair) -> str:
    return f"{int(pair.same)}\t{pair.one}\t{pair.other}\n"
