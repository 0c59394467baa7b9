"""Loads a search document from its file and checks it; finds the keys in which two documents differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args

from raysearch.corpora.settings import LocalPath
from raysearch.errors import InputError
from raysearch.files.bundled import SPACES, find_document
from raysearch.files.yaml_text import read_mapping
from raysearch.methods.table import load_method
from raysearch.spec.document import Spec
from raysearch.spec.faults import check
from raysearch.spec.overrides import Overrides, override

EXPECTED = "a search document, with name, corpus, teacher, task and method"
LONGEST_VALUE = 32
"""Characters of a value that a message about differences shows. Lists of start points have thousands."""


def load_spec(path: Path, overrides: Overrides = (), *, name: str | None = None) -> Spec:
    """Loads a document from a YAML file, or one that comes with raysearch by its name, and checks it.

    Overrides such as `a.b=v` change the document before it is checked; `name` replaces the name that it has.

    Raises: InputError that names the file, the key, what was found and what was expected.
    """
    path = find_document(path, SPACES)
    document = read_mapping(path, EXPECTED)
    override(document, overrides)
    if name is not None:
        document["name"] = name
    return parse_spec(document, where=str(path))


def parse_spec(document: Mapping[str, Any], *, where: str) -> Spec:
    """Checks a document that is a mapping already; `where` names it in errors.

    Raises: InputError for the first fault.
    """
    try:
        spec = Spec.checked(document)
        # A method that does not exist is told as such, before its settings are looked for.
        for method in spec.methods:
            load_method(method)
        check(spec)
    except InputError as err:
        raise InputError(f"{where}: {err}") from err
    return spec.model_copy(update=_absolute_paths(spec))


def _absolute_paths(spec: Spec) -> dict[str, dict[str, Any]]:
    """The groups of fixed settings that name files or folders, with absolute paths.

    Their models make paths absolute too, but only where a trial runs, which is in another folder than the command.
    """
    found: dict[str, dict[str, Any]] = {}
    for method in spec.methods:
        fields = load_method(method).Settings.model_fields
        for group in [name for name in spec.groups if name in fields]:
            own = getattr(fields[group].annotation, "model_fields", {})
            for key, value in spec.fixed(group).items():
                kind = own[key].annotation if key in own else None
                if isinstance(value, str) and LocalPath in get_args(kind):
                    found.setdefault(group, spec.fixed(group).copy())[key] = str(Path(value).expanduser().absolute())
    return found


def differences(old: Spec, new: Spec) -> dict[str, str]:
    """Text such as `OLD -> NEW` for every dotted key in which two documents differ. Their names do not count."""
    before, after = (dict(_flat(spec.model_dump(mode="json", by_alias=True, exclude={"name"}))) for spec in (old, new))
    keys = dict.fromkeys([*before, *after])
    return {
        key: f"{_short(before.get(key, 'absent'))} -> {_short(after.get(key, 'absent'))}"
        for key in keys
        if before.get(key) != after.get(key)
    }


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 3]}..."


def _flat(document: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in document.items():
        if isinstance(value, dict) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
