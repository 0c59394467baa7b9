"""Changes a document before it is checked, as `--set a.b=v` asks."""

from __future__ import annotations

from typing import Any

import yaml

from raysearch.errors import InputError


def override(document: dict[str, Any], change: str) -> None:
    """Carries out one change such as `a.b=v` on a document.

    Raises: InputError if the change is no `KEY=VALUE`, or its key runs through something that is no mapping.
    """
    key, equals, text = change.partition("=")
    if not equals or not key:
        raise InputError(f"--set: {change!r}; expected KEY=VALUE, e.g. search.trials=8")
    # Keys of the space hold dots themselves: all that follows `space.` is one key.
    path = key.split(".", 1) if key.startswith("space.") else key.split(".")
    at: Any = document
    for part in path[:-1]:
        at = at.setdefault(part, {})
        if not isinstance(at, dict):
            raise InputError(f"--set: {key}: {part} is not a mapping; expected a key of the search document")
    # YAML reads numbers, lists and words here as it does in the document itself.
    try:
        at[path[-1]] = yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise InputError(f"--set: {key}: {text!r}; expected a YAML value") from err
