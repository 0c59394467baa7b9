"""Whatever stands in a document, it loads, or is refused in one line. The documents that come along are spoiled.

The examples are the same in each run: a fault that is found stays found.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from raysearch.errors import InputError
from raysearch.files.bundled import SPACES, bundled
from raysearch.spec.document import Spec
from raysearch.spec.loading import load_spec

LONGEST = 400
"""Characters of the longest line, without the path of the document."""
BOUNDED = settings(
    derandomize=True, max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-3, 2000),
    st.sampled_from([0, -1, 2**31, 2**53, 2**63 - 1, -(2**63), 10**9, 10**18]),
    st.floats(),
    st.sampled_from([1e9, 1e18, 1e-300, float("inf"), float("nan")]),
    st.text(max_size=20),
    st.sampled_from(
        ["x" * 300, "a\nb", "\x1b[31m", "nan", "1e400", "os:path", ".", "hf:", "~nobody/x", "train", "5_0"]
    ),
    st.dates(),
    st.binary(max_size=5),
)
KEYS = st.one_of(st.text(max_size=8), st.integers(0, 3), st.sampled_from(["kind", "choice", "int", "when", "source"]))
JUNK = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=6
)
WORDS = st.one_of(
    st.text(max_size=30),
    st.sampled_from(
        [
            "[",
            "{a: 1, a: 2}",
            "&a [*a]",
            "0x_",
            "2001-99-99",
            ".inf",
            "9" * 5000,
            "!!bool x",
            "[" * 99,
            "'",
            "a: b: c",
            "~",
        ]
    ),
)
"""Values of overrides as one writes them, good YAML or not."""


@cache
def documents() -> dict[str, str]:
    return {name: file.read_text(encoding="utf-8") for name, file in bundled(SPACES).items()}


def places(document: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every place in a document at which a value stands."""
    items = (
        document.items() if isinstance(document, dict) else enumerate(document) if isinstance(document, list) else ()
    )
    return [path, *(place for key, value in items for place in places(value, (*path, key)))]


def told_or_loaded(load: Callable[[], Spec], path: Path) -> None:
    """Loads a document and asks it what a search asks first."""
    try:
        spec = load()
        assert spec.digest
        spec.settings(spec.search_space.draw(np.random.default_rng(0)))
    except InputError as err:
        line = str(err).removeprefix(f"{path}: ")
        assert line.isprintable()
        assert len(line) < LONGEST


@BOUNDED
@given(name=st.sampled_from(sorted(documents())), data=st.data())
def test_document_with_values_of_wrong_kinds_loads_or_is_refused(
    name: str, data: st.DataObject, tmp_path: Path
) -> None:
    document = yaml.safe_load(documents()[name])
    for _ in range(data.draw(st.integers(1, 3))):
        *above, key = data.draw(st.sampled_from(places(document)[1:]))
        at = document
        for part in above:
            at = at[part]
        at[key] = data.draw(JUNK)
    if data.draw(st.booleans()):
        document[data.draw(KEYS)] = data.draw(JUNK)
    path = tmp_path / "spoiled.yaml"
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    told_or_loaded(lambda: load_spec(path), path)


@BOUNDED
@given(name=st.sampled_from(sorted(documents())), data=st.data())
def test_document_with_spoiled_bytes_loads_or_is_refused(name: str, data: st.DataObject, tmp_path: Path) -> None:
    content = bytearray(documents()[name].encode())
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(content)))
        inserted = data.draw(st.binary(max_size=4) | WORDS.map(lambda word: word.encode("utf-8", "ignore")))
        content[start : start + data.draw(st.integers(0, 9))] = inserted
    path = tmp_path / "spoiled.yaml"
    path.write_bytes(content)
    told_or_loaded(lambda: load_spec(path), path)


@BOUNDED
@given(name=st.sampled_from(sorted(documents())), data=st.data())
def test_document_with_any_override_loads_or_is_refused(name: str, data: st.DataObject) -> None:
    path = bundled(SPACES)[name]
    known = [".".join(map(str, place)) for place in places(yaml.safe_load(documents()[name]))[1:]]
    key = data.draw(st.sampled_from(known) | st.text(max_size=12))
    if data.draw(st.booleans()):
        lines: Any = [f"{key}={data.draw(WORDS)}"]
    else:
        lines = {key: data.draw(JUNK)}
    told_or_loaded(lambda: load_spec(path, lines), path)
