"""Changes values of a document before it is checked, as `--set a.b=v` on the command line asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import yaml

from raysearch.errors import InputError

Overrides = Iterable[str] | Mapping[str, Any]
"""Lines such as `a.b=v`, where `v` is YAML, or values by their dotted keys."""


def override(document: dict[str, Any], overrides: Overrides) -> None:
    """Puts new values into a document.

    Raises: InputError if a line is no `KEY=VALUE`, or a key runs through something that is no mapping.
    """
    pairs = overrides.items() if isinstance(overrides, Mapping) else map(_pair, overrides)
    for key, value in pairs:
        _put(document, key, value)


def _pair(line: str) -> tuple[str, Any]:
    key, equals, text = line.partition("=")
    if not equals or not key:
        raise InputError(f"--set: {line!r}; expected KEY=VALUE, e.g. search.trials=8")
    try:
        # YAML reads numbers, lists and words here as it does in the document itself.
        return key, yaml.safe_load(text)
    except yaml.YAMLError as err:
        raise InputError(f"--set: {key}: {text!r}; expected a YAML value") from err


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    # Keys of the space hold dots themselves: all that follows `space.` is one key.
    path = key.split(".", 1) if key.startswith("space.") else key.split(".")
    at: Any = document
    for part in path[:-1]:
        at = at.setdefault(part, {})
        if not isinstance(at, dict):
            raise InputError(f"--set: {key}: {part} is not a mapping; expected a key of the search document")
    at[path[-1]] = value
