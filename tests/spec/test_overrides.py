"""Changes of a document before it is checked."""

from typing import Any

import pytest

from raysearch.errors import InputError
from raysearch.files.yaml_text import parse_yaml
from raysearch.spec.overrides import override


def test_alias_of_yaml_is_changed_in_one_place() -> None:
    document = parse_yaml("one: &a {in: {x: 1}}\nother: *a\n", "a test", "a test")
    override(document, ["one.in.x=2"])
    assert document == {"one": {"in": {"x": 2}}, "other": {"in": {"x": 1}}}


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("a.b", "--set: 'a.b'; expected KEY=VALUE, e.g. search.trials=8"),
        ("x" * 300, f"--set: '{'x' * 76}...; expected KEY=VALUE, e.g. search.trials=8"),
        (
            "a=[1",
            "--set: a: line 1: not YAML (while parsing a flow sequence, expected ',' or ']', but got '<stream end>",
        ),
        ("a={b: 1, b: 2}", "--set: a: line 1: b: twice; expected each key once"),
        ("a=2001-99-99", "--set: a: line 1: '2001-99-99'; expected a YAML value (month must be in 1..12)"),
        ("name.x=1", "--set: name.x: name is not a mapping; expected a key of the search document"),
    ],
)
def test_line_that_is_no_override_is_refused(line: str, told: str) -> None:
    document: dict[str, Any] = {"name": "a"}
    with pytest.raises(InputError) as caught:
        override(document, [line])
    assert str(caught.value).startswith(told)
