"""What the pages on corpora and teachers write under `corpus:` and `teacher:` is what a search document may hold."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from pydantic import ValidationError

from raysearch.corpora.settings import CorpusSettings
from raysearch.settings import Settings
from raysearch.teachers.settings import TeacherSettings

DOCS = Path(__file__).parents[2] / "docs"
KINDS = [model.model_fields["kind"].default for model in get_args(get_args(CorpusSettings)[0])]


class Fragment(Settings):
    """The part of a search document that these pages show."""

    corpus: CorpusSettings | None = None
    teacher: TeacherSettings | None = None


def snippets(page: str) -> list[Any]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return [yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)]


@pytest.mark.parametrize("snippet", [*snippets("corpora.md"), *snippets("teachers.md")], ids=str)
def test_snippet_is_taken(snippet: Any) -> None:
    assert Fragment.model_validate(snippet).model_fields_set == set(snippet)


def test_wrong_snippet_is_refused() -> None:
    with pytest.raises(ValidationError):
        Fragment.model_validate({"corpus": {"kind": "labelled", "rot": "data"}})


def test_every_kind_of_corpus_has_a_section_and_a_snippet() -> None:
    text = (DOCS / "corpora.md").read_text(encoding="utf-8")
    sections = {section.partition("\n")[0]: section for section in text.split("\n## ")[1:]}
    assert [kind for kind in KINDS if "```yaml\ncorpus:" not in sections.get(kind, "")] == []
    assert re.findall(r"^\| \[`([\w-]+)`\]", text, re.MULTILINE) == [kind for kind in sections if kind in KINDS]


def test_every_source_of_a_teacher_is_shown() -> None:
    sources = [found["teacher"]["source"].partition(":")[0] for found in snippets("teachers.md")]
    assert set(sources) >= {"train", "torchaudio", "hf", "fairseq"}
