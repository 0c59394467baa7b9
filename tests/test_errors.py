"""Messages are one line, and quote no more than fits into it."""

import pickle

from raysearch.errors import InputError, clipped, did_you_mean, quoted


def test_message_is_one_line_without_what_a_terminal_acts_on() -> None:
    assert str(InputError("a: b\n    c\r\n\x1b[31m; expected \u2028 d")) == "a: b c \\x1b[31m; expected d"
    assert str(InputError("ä: 日本")) == "ä: 日本"
    assert str(pickle.loads(pickle.dumps(InputError("a\nb")))) == "a b"


def test_what_is_long_is_quoted_in_part() -> None:
    assert quoted("short") == "'short'"
    assert quoted("x" * 300) == "'" + "x" * 76 + "..."
    assert quoted(list(range(10_000))) == f"{str(list(range(10_000)))[:77]}..."
    assert quoted(10**5000) == "an integer of thousands of digits"
    assert clipped("x" * 80) == "x" * 80


def test_long_word_brings_nothing_to_mind() -> None:
    assert did_you_mean("serch", ["search"]) == " (did you mean search?)"
    assert did_you_mean("x" * 10**6, ["search"]) == ""
