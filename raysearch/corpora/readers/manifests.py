"""Reads any corpus that lhotse describes by one JSON-lines manifest of cuts for each split.

Each cut must be a `MonoCut` with one supervision and one recording, which is one 16 kHz mono file. Whatever else lhotse
can express (links, archives, transforms, several channels) is a fault: nothing is converted in secret. A file such as
`dev.pairs` may lie beside a manifest, where `raysearch corpus prepare` writes it. Its lines `1<TAB>cut<TAB>cut` name
pairs of cuts of one speaker. With 0 in place of 1 they name cuts of two speakers.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

from lhotse.cut import MonoCut
from lhotse.serialization import load_jsonl
from lhotse.utils import fastcopy

from raysearch.corpora.audio import Verdict, verdicts_on
from raysearch.corpora.corpus import Corpus, Fault, Pair
from raysearch.corpora.readers.reading import select
from raysearch.corpora.settings import SPLITS, ManifestSettings
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError


def read_manifests(settings: ManifestSettings, cache: Path | None) -> Corpus:
    """The corpus that the manifests describe. `cache` is a JSON file that keeps verdicts on audio files.

    Raises: InputError if a manifest is missing or is not JSON lines, or too much cannot be used.
    """
    splits, pairs, everything = {}, {}, []
    for split in SPLITS:
        path: Path = getattr(settings.splits, split)
        cuts, faults = _read_split(split, path, cache)
        splits[split], left_out = select(split, cuts, faults, settings)
        everything += left_out
        if pairs_file(path).is_file():
            pairs[split] = tuple(_pairs(pairs_file(path), set(splits[split].ids)))
    return Corpus(settings.splits.train.resolve().parent.name, splits, tuple(everything), pairs)


def pairs_file(manifest: Path) -> Path:
    """The file with the pairs of a split: `dev.pairs` beside `dev.jsonl.gz`."""
    return manifest.with_name(f"{manifest.name.partition('.')[0]}.pairs")


def _pairs(path: Path, known: set[str]) -> Iterator[Pair]:
    """The pairs in a file whose cuts are both among the `known` ones. Others name cuts that were left out."""
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        same, *ids = line.split("\t")
        if same not in ("0", "1") or len(ids) != 2:
            raise InputError(f"{path}: line {number}: {line!r}; expected 0 or 1 and two cuts, with tabs between")
        if known.issuperset(ids):
            yield Pair(same == "1", *ids)


def _read_split(split: str, path: Path, cache: Path | None) -> tuple[list[MonoCut], list[Fault]]:
    described: dict[str, MonoCut] = {}
    faults = []
    for name, cut in _items(split, path):
        reason = _unfit(cut) if cut else "not a lhotse MonoCut"
        if reason or not cut or cut.id in described:
            faults.append(Fault(name, reason or "cut id used twice"))
        else:
            described[cut.id] = cut
    verdicts = verdicts_on({_file(cut) for cut in described.values()}, cache)
    cuts = []
    for cut in described.values():
        reason = _unusable(cut, verdicts[_file(cut)])
        if reason:
            faults.append(Fault(cut.id, reason))
        else:
            cuts.append(_plain(cut))
    return cuts, faults


def _items(split: str, path: Path) -> Iterator[tuple[str, MonoCut | None]]:
    """The id and the cut on each line. A line that holds no cut gives its file and number, and None."""
    if not path.is_file():
        raise InputError(f"corpus.splits.{split}: {path}: no such file; expected a lhotse cut manifest (.jsonl[.gz])")
    try:
        for number, document in enumerate(load_jsonl(path), start=1):
            cut = mono_cut(document)
            yield cut.id if cut else f"{path.name}:{number}", cut
    except (ValueError, gzip.BadGzipFile, EOFError) as error:
        raise InputError(f"corpus.splits.{split}: {path}: {error}; expected JSON lines in UTF-8") from error


def mono_cut(document: object) -> MonoCut | None:
    """The cut that a line of a manifest describes. None if it describes no `MonoCut`."""
    # lhotse would read other types of cut as a MonoCut, as far as their keys fit.
    if not isinstance(document, dict) or document.pop("type", None) != "MonoCut":
        return None
    try:
        return MonoCut.from_dict(document)
    except (KeyError, TypeError, ValueError):
        return None


def _unfit(cut: MonoCut) -> str | None:
    """The reason why a cut cannot be used, as far as the manifest shows it. None if it shows no reason."""
    if cut.recording is None or len(cut.recording.sources) != 1 or cut.recording.sources[0].type != "file":
        return "audio is not one file"
    if cut.recording.transforms:
        return "recording has transforms; expected plain audio"
    if len(cut.supervisions) != 1:
        return f"{len(cut.supervisions)} supervisions; expected 1"
    if cut.supervisions[0].text is not None and not cut.supervisions[0].text.split():
        return "empty transcript"
    return None


def _unusable(cut: MonoCut, verdict: Verdict) -> str | None:
    if verdict.fault:
        return verdict.fault
    if cut.sampling_rate != SAMPLE_RATE_HZ:
        return f"manifest says {cut.sampling_rate} Hz; expected {SAMPLE_RATE_HZ} Hz"
    if round(cut.start * SAMPLE_RATE_HZ) + cut.num_samples > verdict.samples:
        return "audio ends before the cut does"
    return None


def upper_case(cut: MonoCut) -> MonoCut:
    """The cut with its words in upper case, as every reader gives them."""
    supervision = cut.supervisions[0]
    if supervision.text is None:
        return cut
    return fastcopy(cut, supervisions=[fastcopy(supervision, text=" ".join(supervision.text.split()).upper())])


def _plain(cut: MonoCut) -> MonoCut:
    """The cut as every reader gives it, with words in upper case and an absolute path."""
    source = fastcopy(cut.recording.sources[0], source=str(_file(cut)))
    return fastcopy(upper_case(cut), recording=fastcopy(cut.recording, sources=[source]))


def _file(cut: MonoCut) -> Path:
    return Path(cut.recording.sources[0].source).resolve()
