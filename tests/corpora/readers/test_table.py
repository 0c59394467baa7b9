"""Each kind of corpus that a document may name has its reader, and nothing else has."""

from importlib import import_module
from typing import get_args, get_type_hints

import pytest

from raysearch.corpora.prepare import KINDS
from raysearch.corpora.readers.table import READERS
from raysearch.corpora.settings import CorpusSettings

UNION, _ = get_args(CorpusSettings)
MODELS = {model.model_fields["kind"].default: model for model in get_args(UNION)}


def test_readers_are_of_the_kinds_that_a_document_may_name() -> None:
    assert READERS.keys() == MODELS.keys()


@pytest.mark.parametrize("kind", READERS)
def test_reader_takes_the_settings_of_its_kind(kind: str) -> None:
    module, name = READERS[kind].split(":")
    assert get_type_hints(getattr(import_module(module), name))["settings"] is MODELS[kind]


def test_kinds_that_can_be_prepared_have_archives_of_their_own() -> None:
    others = ("manifest", "shar", "synthetic", "several")
    assert [*KINDS, *others] == list(READERS)
