"""The one way in which YAML that people wrote is read: documents, and values on the command line.

JSON is read as well, since it is YAML. Beyond what PyYAML refuses by itself, a key may not stand twice in a mapping,
and nothing may be so large or so deep that it takes all memory or time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from yaml.reader import ReaderError

from raysearch.errors import InputError, clipped, quoted
from raysearch.files.stand_ins import refuse_stand_in

MOST_BYTES = 1 << 20
"""Largest document in bytes."""
MOST_VALUES = 50_000
"""Most keys and values of a document, with those behind aliases counted wherever an alias stands."""
MOST_DEPTH = 32
"""Levels of mappings and lists within each other."""


def read_mapping(file: Path | str, expected: str) -> dict[Any, Any]:
    """The mapping that a YAML or JSON file holds. `expected` says in errors what it should be.

    Raises: InputError with the file, and with the line and the key if they are known.
    """
    refuse_stand_in(file, expected)
    try:
        with open(file, "rb") as opened:
            content = opened.read(MOST_BYTES + 1)
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected {expected}") from err
    if len(content) > MOST_BYTES:
        raise InputError(f"{file}: more than {MOST_BYTES:,} bytes; expected {expected}")
    document = parse_yaml(content, str(file), expected)
    if not isinstance(document, dict):
        what = "empty" if document is None else type(document).__name__
        raise InputError(f"{file}: {what}; expected {expected}")
    return document


def parse_yaml(text: str | bytes, where: str, expected: str) -> Any:
    """What a text in YAML says. Errors begin with `where`. Raises: InputError with the line, and the key if known."""
    try:
        return _Loader(text).get_single_data()
    except _RefusedError as err:
        raise InputError(f"{where}: {_line(err)}{err.problem}") from err
    except yaml.MarkedYAMLError as err:
        problem = ", ".join(part for part in (err.context, err.problem) if part)
        raise InputError(f"{where}: {_line(err)}not YAML ({clipped(problem)}); expected {expected}") from err
    except ReaderError as err:
        problem = f"not YAML (position {err.position}: {err.reason})"
        raise InputError(f"{where}: {problem}; expected {expected}") from err


def _line(err: yaml.MarkedYAMLError) -> str:
    return f"line {err.problem_mark.line + 1}: " if err.problem_mark else ""


def _step(index: yaml.Node | int | None) -> str:
    """How a key or a place in a list stands in the place of what is below it."""
    if isinstance(index, int):
        return f"[{index}]"
    return f".{clipped(index.value)}" if isinstance(index, yaml.ScalarNode) else ""


class _RefusedError(yaml.MarkedYAMLError):
    """What is YAML, and yet is no document. The problem says what was expected."""

    def __init__(self, problem: str, mark: Any) -> None:
        super().__init__(problem=problem, problem_mark=mark)


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader with bounds. Everything is checked before a value is made of it."""

    def __init__(self, text: str | bytes) -> None:
        super().__init__(text)
        self._path: list[str] = []
        self._keys: dict[yaml.Node, set[tuple[str, str]]] = {}
        self._places: dict[yaml.Node, str] = {}
        self._sizes: dict[yaml.Node, int] = {}
        self._values = 0

    # `index` is a place in a list, the node of a key, or None for a key itself and for the whole document.
    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()
        before = self._values
        self._path.append(_step(index))
        if len(self._path) > MOST_DEPTH:
            raise _RefusedError(f"more than {MOST_DEPTH} levels; expected fewer", event.start_mark)
        if isinstance(index, yaml.ScalarNode):
            self._refuse_twice(parent, index)
        node: Any = super().compose_node(parent, index)
        if isinstance(event, yaml.AliasEvent):
            # What an alias lies in is not composed yet, and has no size.
            if node not in self._sizes:
                raise _RefusedError(f"{self._place()}: holds itself; expected an end", event.start_mark)
            self._values += self._sizes[node]
        else:
            self._values += 1
            self._sizes[node], self._places[node] = self._values - before, self._place()
        if self._values > MOST_VALUES:
            raise _RefusedError(f"more than {MOST_VALUES:,} values; expected fewer", event.start_mark)
        self._path.pop()
        return node

    def _place(self) -> str:
        return clipped("".join(self._path).removeprefix("."))

    def _refuse_twice(self, mapping: yaml.Node, key: yaml.ScalarNode) -> None:
        known = self._keys.setdefault(mapping, set())
        if (key.tag, key.value) in known:
            raise _RefusedError(f"{self._place()}: twice; expected each key once", key.start_mark)
        known.add((key.tag, key.value))

    def construct_object(self, node: Any, deep: bool = False) -> Any:
        try:
            value = super().construct_object(node, deep)
            if isinstance(value, int) and not -(2**63) <= value < 2**63:
                raise ValueError("no 64-bit integer")
            if isinstance(value, str):
                value.encode()  # fails for half a character, which nothing can write to a file
                if "\0" in value:
                    raise ValueError("a null character")
        except (ValueError, LookupError, AttributeError, TypeError) as err:
            # PyYAML leaves it to Python to find that a date, a number or a word under a tag is none.
            found = quoted(node.value) if isinstance(node, yaml.ScalarNode) else node.id
            where = f"{place}: " if (place := self._places.get(node, "")) else ""
            raise _RefusedError(
                f"{where}{found}; expected a YAML value ({clipped(str(err))})", node.start_mark
            ) from err
        return value
