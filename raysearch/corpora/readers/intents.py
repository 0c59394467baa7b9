"""Reads spoken requests with an intent and slots, from JSON lines of our own format and from SLURP's.

A slot that was not mentioned has no key. SLURP's intent is `<scenario>_<action>`. Where a sentence names two entities
of one kind, the slot holds both in their order.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.listed import Row, check_split, read_rows, refuse_unknown
from raysearch.corpora.readers.text import as_text, json_lines
from raysearch.corpora.settings import IntentsSettings, SlurpSettings
from raysearch.errors import InputError, quoted

_SLURP_SPLITS = {"train": "train", "dev": "devel", "test": "test"}


def read_intents(settings: IntentsSettings, cache: Path | None) -> Corpus:
    """The corpus that a manifest describes. Each cut has `custom.intent` and `custom.slots`.

    Raises: InputError if the manifest is missing or a line is not as it should be, a recording is in two splits, an
    intent of dev or test is not in train, or too much cannot be used.
    """
    root = settings.root.resolve()
    manifest = settings.manifest or root / "manifest.jsonl"
    rows = [_row(root, document, where) for document, where in _lines(manifest, "corpus.manifest")]
    return _checked(read_rows(root.name, rows, settings, cache))


def read_slurp(settings: SlurpSettings, cache: Path | None) -> Corpus:
    """The SLURP corpus. Every recording of a sentence is a cut. Raises: InputError as `read_intents`."""
    root = settings.root.resolve()
    audio = settings.audio or root / "audio" / "slurp_real"
    rows: list[Row] = []
    for split, file in _SLURP_SPLITS.items():
        for document, where in _lines(root / "dataset" / "slurp" / f"{file}.jsonl", "corpus.root"):
            rows += _slurp_rows(audio, document, split, where)
    return _checked(read_rows("slurp", rows, settings, cache))


def _checked(corpus: Corpus) -> Corpus:
    refuse_unknown(corpus, "intent")
    return corpus


def _lines(path: Path, key: str) -> Iterator[tuple[dict[str, Any], str]]:
    """The document on each line, and where that line stands, for messages."""
    try:
        content = path.read_bytes()
    except OSError as err:
        raise InputError(f"{key}: {path}: {err.strerror}; expected JSON lines") from err
    for number, document in json_lines(content, f"{key}: {path}"):
        where = f"{key}: {path}: line {number}"
        if not isinstance(document, dict):
            raise InputError(f"{where}: {type(document).__name__}; expected a JSON object")
        yield document, where


def _row(root: Path, document: Mapping[str, Any], where: str) -> Row:
    path, intent = (_text(document.get(key), where, key) for key in ("path", "intent"))
    if not path or not intent:
        key = "intent" if path else "path"
        raise InputError(f"{where}: {key}: {quoted(document.get(key))}; expected a text")
    given = document.get("slots") or {}
    if not isinstance(given, dict):
        raise InputError(f"{where}: slots: {quoted(given)}; expected a text for each slot that is there")
    slots = {name: _text(value, where, f"slots.{name}") for name, value in given.items()}
    if not all(slots.values()):
        raise InputError(f"{where}: slots: {quoted(given)}; expected a text for each slot that is there")
    speaker, text = (_text(document.get(key), where, key) for key in ("speaker", "text"))
    split = check_split(document.get("split"), where)
    custom = {"intent": intent, "slots": slots}
    return Row(Path(path).with_suffix("").as_posix(), root / path, split, speaker, text, custom)


def _text(value: object, where: str, key: str) -> str | None:
    try:
        return as_text(value)
    except ValueError as err:
        raise InputError(f"{where}: {key}: {err}") from err


def _slurp_rows(audio: Path, document: Mapping[str, Any], split: str, where: str) -> Iterator[Row]:
    try:
        words = [as_text(token["surface"]) or "" for token in document["tokens"]]
        slots: dict[str, str] = {}
        for entity in document["entities"]:
            value = " ".join(words[index] for index in entity["span"]).lower()
            slots[entity["type"]] = "; ".join(filter(None, (slots.get(entity["type"]), value)))
        custom = {"intent": f"{document['scenario']}_{document['action']}", "slots": slots}
        for recording in document["recordings"]:
            file = Path(recording["file"])
            yield Row(file.stem, audio / file, split, None, as_text(document["sentence"]), custom)
    except (KeyError, TypeError, IndexError, ValueError) as err:
        raise InputError(
            f"{where}: {type(err).__name__} {err}; expected SLURP's keys sentence, scenario, action, tokens, entities, "
            "recordings"
        ) from err
