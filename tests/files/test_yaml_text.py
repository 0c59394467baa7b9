"""YAML as people write it, and as attackers do: read, or refused in one line with its line number and key."""

from pathlib import Path

import pytest
import yaml

from raysearch.errors import InputError
from raysearch.files.yaml_text import MOST_BYTES, parse_yaml, read_mapping

LAUGHS = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)
"""Nine anchors, each of nine aliases of the one before: 9^9 values in 400 characters."""
MERGES = "a: &a {x: 1}\n" + "".join(
    f"{new}: &{new} {{<<: [{', '.join([f'*{old}'] * 9)}]}}\n" for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("search: {trials: 1}\nname: a\nsearch: {trials: 9}\n", "line 3: search: twice; expected each key once"),
        ("a:\n  b:\n  - c: 1\n    'c': 2\n", "line 4: a.b[0].c: twice; expected each key once"),
        ('{"a": 1,\n "a": 2}', "line 2: a: twice; expected each key once"),
        ("a: 1\nb: 2001-99-99", "line 2: b: '2001-99-99'; expected a YAML value (month must be in 1..12)"),
        ("a: {b: 0x_}", "line 1: a.b: '0x_'; expected a YAML value (invalid literal for int() with base 16: '')"),
        ("a: " + "9" * 5000, f"line 1: a: '{'9' * 76}...; expected a YAML value (Exceeds the limit (4300"),
        (f"a: [{2**63}]", "line 1: a[0]: '9223372036854775808'; expected a YAML value (no 64-bit integer)"),
        ("a: !!bool perhaps", "line 1: a: 'perhaps'; expected a YAML value ("),
        ('a: "\\ud800"', "line 1: a: '\\ud800'; expected a YAML value ("),
        ('a: "b\\0c"', "line 1: a: 'b\\x00c'; expected a YAML value (a null character)"),
        ("a: " + "[" * 1000, "line 1: more than 32 levels; expected fewer"),
        ("a: " + "{b: " * 1000, "line 1: more than 32 levels; expected fewer"),
        ("a: &a [*a]", "line 1: a[0]: holds itself; expected an end"),
        (LAUGHS, "line 5: more than 50,000 values; expected fewer"),
        (MERGES, "line 6: more than 50,000 values; expected fewer"),
        ("- 1\n" * 60_000, "line 50001: more than 50,000 values; expected fewer"),
        (
            "a: 1\n\tb: 2",
            "line 2: not YAML (while scanning for the next token, found character '\\t' that cannot",
        ),
        ("a: 1\n---\nb: 2", "line 2: not YAML (expected a single document in the stream, but found another document);"),
        ("a: !!python/name:os.system x", "line 1: not YAML (could not determine a constructor for the tag"),
        ("a: [1", "line 1: not YAML (while parsing a flow sequence, expected ',' or ']', but got '<stream end>');"),
        (b"a: \xff", "not YAML (position 3: invalid start byte); expected a test"),
        ("a: \x07", "not YAML (position 3: special characters are not allowed); expected a test"),
    ],
)
def test_bad_yaml_is_refused_in_one_short_line(text: str | bytes, told: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_yaml(text, "x.yaml", "a test")
    message = str(caught.value)
    assert message.startswith(f"x.yaml: {told}")
    assert message.isprintable()
    assert len(message) < 300


@pytest.mark.parametrize(
    "text",
    [
        "a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}\nc: [*a, *a]\n",
        "a: 1\nb: [1.5, .inf, true, null, 2001-01-01, '']\n",
        '{"a": {"b": [1e-5, -0.5]}}',
        "\ufeffa: ä\n",
        f"a: [{2**63 - 1}, {-(2**63)}]",
        "",
    ],
)
def test_good_yaml_is_what_pyyaml_makes_of_it(text: str) -> None:
    assert parse_yaml(text, "x.yaml", "a test") == yaml.safe_load(text)
    assert parse_yaml(text.encode(), "x.yaml", "a test") == yaml.safe_load(text)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"# nothing\n", "empty; expected a test"),
        (b"", "empty; expected a test"),
        (b"- 1\n", "list; expected a test"),
        (b"word\n", "str; expected a test"),
        (b"a" * (MOST_BYTES + 1), "more than 1,048,576 bytes; expected a test"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid: 1\n",
            "a git-lfs pointer; expected the file itself",
        ),
    ],
)
def test_file_without_a_mapping_is_refused(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(InputError) as caught:
        read_mapping(tmp_path / "x.yaml", "a test")
    assert str(caught.value).startswith(f"{tmp_path / 'x.yaml'}: {told}")


def test_folder_and_missing_file_are_refused(tmp_path: Path) -> None:
    for path, told in ((tmp_path, "Is a directory"), (tmp_path / "none", "No such file or directory")):
        with pytest.raises(InputError) as caught:
            read_mapping(path, "a test")
        assert str(caught.value) == f"{path}: {told}; expected a test"
