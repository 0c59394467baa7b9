"""What is said of the documents that come with raysearch."""

from raysearch.spec.listing import list_encoders, list_spaces
from raysearch.spec.loading import load_spec


def test_every_document_says_what_it_is_for() -> None:
    listed = [*list_spaces(), *list_encoders()]
    assert len(listed) > 20
    assert [one.name for one in listed if not one.purpose.endswith((".", "?"))] == []


def test_spaces_are_listed_as_they_load() -> None:
    for one in list_spaces():
        spec = load_spec(one.file)
        assert (one.name, one.corpus, one.methods) == (spec.name, spec.corpus.kind, spec.methods)
        assert one.trials == spec.search.trials
