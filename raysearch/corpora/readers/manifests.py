"""Reads any corpus that lhotse describes by one JSON-lines manifest of cuts for each split.

Each cut must be a `MonoCut` with one supervision and one recording, which is one 16 kHz mono file. Whatever else lhotse
can express (links, archives, transforms, several channels) is a fault: nothing is converted in secret. A file such as
`dev.pairs` may lie beside a manifest, where `raysearch corpus prepare` writes it. Its lines `1<TAB>cut<TAB>cut` name
pairs of cuts of one speaker. With 0 in place of 1 they name cuts of two speakers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lhotse.cut import MonoCut
from lhotse.utils import fastcopy

from raysearch.corpora.audio import Verdict, verdicts_on
from raysearch.corpora.corpus import Corpus, Fault, Pair
from raysearch.corpora.readers.reading import distinct_pairs, select
from raysearch.corpora.readers.text import EMPTY, as_number, as_text, json_lines, numbered, words_of
from raysearch.corpora.settings import SPLITS, ManifestSettings
from raysearch.encoder.config import SAMPLE_RATE_HZ
from raysearch.errors import InputError, clipped, quoted
from raysearch.files.text import read_text

OVERHANG_S = 0.1
"""Seconds by which a transcript may reach beyond its cut, as rounding and loose borders make them."""


def read_manifests(settings: ManifestSettings, cache: Path | None) -> Corpus:
    """The corpus that the manifests describe. `cache` is a JSON file that keeps verdicts on audio files.

    Raises: InputError if a manifest is missing or is not JSON lines, or too much cannot be used.
    """
    splits, pairs, everything = {}, {}, []
    for split in SPLITS:
        path: Path = getattr(settings.splits, split)
        cuts, faults = _read_split(split, path, settings.root, cache)
        splits[split], left_out = select(split, cuts, faults, settings)
        everything += left_out
        if pairs_file(path).is_file():
            pairs[split], repeated = distinct_pairs(_pairs(pairs_file(path), set(splits[split].ids)))
            everything += repeated
    return Corpus(settings.splits.train.resolve().parent.name, splits, tuple(everything), pairs)


def pairs_file(manifest: Path) -> Path:
    """The file with the pairs of a split: `dev.pairs` beside `dev.jsonl.gz`."""
    return manifest.with_name(f"{manifest.name.partition('.')[0]}.pairs")


def _pairs(path: Path, known: set[str]) -> Iterator[tuple[str, Pair]]:
    """The pairs in a file whose cuts are both among the `known` ones, each with its place `FILE:NUMBER`.

    Others name cuts that were left out.
    """
    for number, line in numbered(read_text(path, "corpus.splits", "lines `1<TAB>cut<TAB>cut`")):
        same, *ids = line.split("\t")
        if same not in ("0", "1") or len(ids) != 2:
            raise InputError(f"{path}: line {number}: {quoted(line)}; expected 0 or 1 and two cuts, with tabs between")
        if known.issuperset(ids):
            yield f"{path}:{number}", Pair(same == "1", *ids)


def _read_split(split: str, path: Path, root: Path, cache: Path | None) -> tuple[list[MonoCut], list[Fault]]:
    described: dict[str, MonoCut] = {}
    faults = []
    for number, document in _items(split, path):
        try:
            cut = mono_cut(document)
        except ValueError as err:
            faults.append(Fault(name_of(document, f"{path.name}:{number}"), str(err)))
            continue
        reason = _unfit(cut) or ("cut id used twice" if cut.id in described else None)
        if reason:
            faults.append(Fault(cut.id, reason))
        else:
            described[cut.id] = cut
    files = {key: (root / str(cut.recording.sources[0].source)).resolve() for key, cut in described.items()}
    verdicts = verdicts_on(set(files.values()), cache)
    cuts = []
    for cut in described.values():
        reason = _unusable(cut, verdicts[files[cut.id]])
        if reason:
            faults.append(Fault(cut.id, reason))
        else:
            cuts.append(_plain(cut, files[cut.id]))
    return cuts, faults


def _items(split: str, path: Path) -> Iterator[tuple[int, object]]:
    """The number and the document of each line."""
    if not path.is_file():
        raise InputError(f"corpus.splits.{split}: {path}: no such file; expected a lhotse cut manifest (.jsonl[.gz])")
    return json_lines(path.read_bytes(), f"corpus.splits.{split}: {path}")


def name_of(document: object, where: str) -> str:
    """The id of a cut that cannot be used, or `where` its line stands if it has none."""
    name = document.get("id") if isinstance(document, dict) else None
    return name if isinstance(name, str) and name else where


def mono_cut(document: object) -> MonoCut:
    """The cut that a line of a manifest describes, with texts for numbers where a text belongs.

    Raises: ValueError with the reason why it is none.
    """
    # lhotse would read other types of cut as a MonoCut, as far as their keys fit.
    if (
        not isinstance(document, dict)
        or document.get("type") != "MonoCut"
        or not {"start", "duration"} <= set(document)
    ):
        raise ValueError("not a lhotse MonoCut")
    try:
        document = {key: value for key, value in document.items() if key != "type"}
        _check_numbers(document, "start", "duration")
        _check_numbers(document.get("recording") or {}, "sampling_rate", "num_samples", "duration")
        supervisions = [_supervision(one) for one in document.get("supervisions") or []]
        return MonoCut.from_dict({**document, "id": as_text(document["id"]) or "", "supervisions": supervisions})
    except (KeyError, TypeError, AttributeError) as err:
        raise ValueError("not a lhotse MonoCut") from err


def _check_numbers(document: dict[str, Any], *keys: str) -> None:
    for key in keys:
        try:
            number = as_number(document[key])
        except ValueError as err:
            raise ValueError(f"{key}: {err}") from err
        if number < 0 or (number == 0 and key != "start"):
            raise ValueError(f"{key}: {number}; expected a number above 0")


def _supervision(document: dict[str, Any]) -> dict[str, Any]:
    for key in ("start", "duration"):
        try:
            as_number(document[key])
        except ValueError as err:
            raise ValueError(f"supervision: {key}: {err}") from err
    custom = dict(document.get("custom") or {})
    if isinstance(phones := custom.get("phones"), str):
        custom["phones"] = phones.split()
    elif phones is not None and not (isinstance(phones, list) and all(isinstance(one, str) for one in phones)):
        raise ValueError(f"phones: {str(phones)[:80]}; expected a list of texts")
    # Speakers and labels often are numbers, but of a transcript it cannot be known how a number was spoken.
    if not isinstance(text := document.get("text"), str | None):
        raise ValueError(f"text: {clipped(json.dumps(text))}; expected a text")
    found: dict[str, Any] = {"speaker": _text("speaker", document["speaker"])} if "speaker" in document else {}
    custom |= {key: _text(key, custom[key]) for key in ("label", "intent", "marked") if custom.get(key) is not None}
    if isinstance(slots := custom.get("slots"), dict):
        custom["slots"] = {key: _text(f"slots.{key}", value) for key, value in slots.items()}
    return {**document, **found, **({"custom": custom} if custom else {})}


def _text(key: str, value: object) -> str | None:
    try:
        return as_text(value)
    except ValueError as err:
        raise ValueError(f"{key}: {err}") from err


def _unfit(cut: MonoCut) -> str | None:
    """The reason why a cut cannot be used, as far as the manifest shows it. None if it shows no reason."""
    if cut.recording is None or len(cut.recording.sources) != 1 or cut.recording.sources[0].type != "file":
        return "audio is not one file"
    if cut.recording.transforms:
        return "recording has transforms; expected plain audio"
    if len(cut.supervisions) != 1:
        return f"{len(cut.supervisions)} supervisions; expected 1"
    return transcript_fault(cut)


def transcript_fault(cut: MonoCut) -> str | None:
    """The reason why the transcript of a cut cannot be used: nothing is said, or it is that of a longer piece."""
    (supervision,) = cut.supervisions
    if supervision.text is not None and not words_of(supervision.text):
        return EMPTY
    if supervision.start < -OVERHANG_S or supervision.end > cut.duration + OVERHANG_S:
        return f"transcript of {supervision.duration:.1f} s, cut of {cut.duration:.1f} s"
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
    return fastcopy(cut, supervisions=[fastcopy(supervision, text=" ".join(words_of(supervision.text)))])


def _plain(cut: MonoCut, file: Path) -> MonoCut:
    """The cut as every reader gives it, with words in upper case and the absolute path of its file."""
    source = fastcopy(cut.recording.sources[0], source=str(file))
    return fastcopy(upper_case(cut), recording=fastcopy(cut.recording, sources=[source]))
