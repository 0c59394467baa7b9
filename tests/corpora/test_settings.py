"""Corpus settings: what is accepted, and what is refused before anything is read."""

from __future__ import annotations

import subprocess
import sys

import pytest
from pydantic import TypeAdapter, ValidationError

from raysearch.corpora.settings import CorpusSettings

CORPUS = TypeAdapter(CorpusSettings)


@pytest.mark.parametrize("kind", ["an4", "librispeech", "manifest", "synthetic"])
def test_settings_written_and_read_again_are_the_same(kind: str) -> None:
    splits = {"train": "a.jsonl", "dev": "b.jsonl", "test": "c.jsonl"}
    needed = {"an4": {"root": "x"}, "librispeech": {"root": "x"}, "manifest": {"splits": splits}, "synthetic": {}}
    corpus = CORPUS.validate_python({"kind": kind, **needed[kind]})
    assert CORPUS.validate_json(CORPUS.dump_json(corpus)) == corpus


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({"kind": "an5"}, "an5"),
        ({"kind": "an4"}, "root"),
        ({"kind": "an4", "root": "x", "rooot": "x"}, "rooot"),
        ({"kind": "an4", "root": "x", "min_s": 40}, "min_s: 40.0; expected less than max_s = 30.0"),
        ({"kind": "an4", "root": "x", "max_skipped": 5}, "max_skipped"),
        ({"kind": "librispeech", "root": "x", "splits": {"train": ["a"], "dev": ["a"]}}, "a named twice"),
        (
            {"kind": "synthetic", "utterances": {"train": 2, "dev": 4, "test": 4}},
            "utterances.train: 2; expected at least speakers.train = 16",
        ),
    ],
)
def test_settings_that_are_wrong_are_refused(document: dict[str, object], expected: str) -> None:
    with pytest.raises(ValidationError, match=expected):
        CORPUS.validate_python(document)


def test_settings_import_neither_torch_nor_lhotse() -> None:
    code = "import sys, raysearch.corpora.settings; sys.exit(bool({'torch', 'lhotse'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_setting_is_described() -> None:
    for name, model in CORPUS.json_schema()["$defs"].items():
        for field, schema in model["properties"].items():
            assert field in ("kind", "splits") or "description" in schema, f"{name}.{field}"
