"""Documents and programs that the pages show can be read: what is under `corpus:` and `teacher:`, and Python."""

from __future__ import annotations

import ast
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


def blocks(page: str, language: str) -> list[str]:
    text = (DOCS / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def snippets(page: str) -> list[Any]:
    return [yaml.safe_load(block) for block in blocks(page, "yaml")]


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


@pytest.mark.parametrize("page", ["python.md", "adding-a-method.md", "adding-a-task.md"])
def test_python_is_python(page: str) -> None:
    found = blocks(page, "python")
    assert found
    for block in found:
        ast.parse(block)
