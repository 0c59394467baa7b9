"""Search documents: read with changes, listed, and described for editors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.api.arguments import choices

if TYPE_CHECKING:
    from raysearch.spec.document import Spec
    from raysearch.spec.listing import Listed, ListedSpace
    from raysearch.spec.overrides import Overrides


def load_spec(document: str | Path, overrides: Overrides = (), name: str | None = None) -> Spec:
    """A search document, checked: from its YAML file, or the one of this name that comes with raysearch.

    `overrides` change keys of the document: `["search.trials=4"]` as on the command line, or `{"search.trials": 4}`.
    `name` is the search's name instead of the document's.
    Raises: InputError with the file, the key, what was found and what was expected.
    """
    from raysearch.spec import loading

    return loading.load_spec(Path(document), overrides, name=name)


def list_spaces() -> list[ListedSpace]:
    """The search documents that come with raysearch, each with the name that `load_spec` and `search` take."""
    from raysearch.spec import listing

    return listing.list_spaces()


def list_encoders() -> list[Listed]:
    """The encoder documents that come with raysearch, each with the name that `encoder_cost` takes."""
    from raysearch.spec import listing

    return listing.list_encoders()


def spec_schema(kind: str = "search") -> dict[str, Any]:
    """The JSON schema of search documents, or of encoder documents where `kind` is `encoder`.

    Raises: InputError if it is neither.
    """
    from raysearch.spec import schema

    choices("KIND", kind, ("search", "encoder"))
    return schema.encoder_schema() if kind == "encoder" else schema.spec_schema()
