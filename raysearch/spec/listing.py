"""What the documents that come with raysearch are for, without loading a method."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from raysearch.files.bundled import ENCODERS, SPACES, bundled, purpose
from raysearch.files.yaml_text import read_mapping
from raysearch.spec.document import Spec
from raysearch.spec.loading import EXPECTED


@dataclass(frozen=True)
class Listed:
    """A document, by what one asks of it first."""

    name: str
    purpose: str
    """One sentence."""
    file: Path


@dataclass(frozen=True)
class ListedSpace(Listed):
    """A search document."""

    corpus: str
    """The kind of corpus it searches on."""
    methods: list[str]
    trials: int


def list_spaces() -> list[ListedSpace]:
    """Every search document that comes with raysearch."""
    listed = []
    for name, file in bundled(SPACES).items():
        spec = Spec.model_validate(read_mapping(file, EXPECTED))
        listed.append(ListedSpace(name, purpose(file), file, spec.corpus.kind, spec.methods, spec.search.trials))
    return listed


def list_encoders() -> list[Listed]:
    """Every encoder document that comes with raysearch."""
    return [Listed(name, purpose(file), file) for name, file in bundled(ENCODERS).items()]
