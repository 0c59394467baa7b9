"""Search documents: read with changes, and described for editors."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from raysearch.spec.document import Spec
    from raysearch.spec.overrides import Overrides


def load_spec(document: str | Path, overrides: Overrides = (), name: str | None = None) -> Spec:
    """A search document from its YAML file, checked.

    `overrides` change keys of the document: `["search.trials=4"]` as on the command line, or `{"search.trials": 4}`.
    `name` is the search's name instead of the document's.
    Raises: InputError with the file, the key, what was found and what was expected.
    """
    from raysearch.spec import loading

    return loading.load_spec(Path(document), overrides, name=name)


def spec_schema() -> dict[str, Any]:
    """The JSON schema of search documents."""
    from raysearch.spec.document import Spec

    return Spec.model_json_schema()
