"""Changes values of a document before it is checked, as `--set a.b=v` on the command line asks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from raysearch.errors import InputError, clipped, quoted
from raysearch.files.yaml_text import parse_yaml

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
        raise InputError(f"--set: {quoted(line)}; expected KEY=VALUE, e.g. search.trials=8")
    # YAML reads numbers, lists and words here as it does in the document itself.
    return key, parse_yaml(text, f"--set: {clipped(key)}", "a YAML value")


def _put(document: dict[str, Any], key: str, value: Any) -> None:
    # Keys of the space hold dots themselves: all that follows `space.` is one key.
    path = key.split(".", 1) if key.startswith("space.") else key.split(".")
    at = document
    for part in path[:-1]:
        inner = at.get(part, {})
        if not isinstance(inner, dict):
            where = f"--set: {clipped(key)}: {clipped(part)}"
            raise InputError(f"{where} is not a mapping; expected a key of the search document")
        # A copy, because an alias of YAML puts one mapping into two places.
        at[part] = dict(inner)
        at = at[part]
    at[path[-1]] = value
