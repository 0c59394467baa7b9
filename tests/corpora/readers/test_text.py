"""Text as Windows, Excel, Macs and web pages write it, through the one way that readers take it up."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from raysearch.corpora.readers.text import (
    as_number,
    as_text,
    is_recording,
    json_lines,
    numbered,
    without_punctuation,
    words_of,
)
from raysearch.errors import InputError
from raysearch.files import gzipped
from raysearch.files.text import decoded, read_text


def test_mark_and_windows_line_ends_are_no_part_of_lines() -> None:
    text = decoded(b"\xef\xbb\xbfa ONE\r\nb TWO\r\n\r\nc THREE")
    assert list(numbered(text)) == [(1, "a ONE"), (2, "b TWO"), (4, "c THREE")]


def test_line_separators_of_the_web_are_white_space_within_a_line() -> None:
    lines = list(numbered(decoded("a TURN\u2028ON\u0085THE\u00a0LIGHT\n".encode())))
    assert [line.split() for _, line in lines] == [["a", "TURN", "ON", "THE", "LIGHT"]]


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("open\u200b the\ufeff door", ["OPEN", "THE", "DOOR"]),
        ("\u200b", []),
        (" ?! ...", []),
        ("\u00a0", []),
        ("route 66", ["ROUTE", "66"]),
    ],
)
def test_words_are_those_that_can_be_heard(said: str, words: list[str]) -> None:
    assert words_of(said) == words


@pytest.mark.parametrize("word", ["हिन्दी", "தமிழ்", "বাংলা", "e\u0301te\u0301"])
def test_combining_marks_are_letters(word: str) -> None:
    assert without_punctuation(f"«{word}», {word}!").split() == [word, word]


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"version https://git-lfs.github.com/spec/v1\n", "a git-lfs pointer; expected the file itself: git lfs pull"),
        (b"<!DOCTYPE html>\n", "an HTML page; expected the file itself: download it again"),
    ],
)
def test_what_a_bad_download_left_is_told_as_such(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(InputError, match=rf"^k: {tmp_path / 'a'}: {told}$"):
        read_text(tmp_path / "a", "k", "lines")
    with pytest.raises(InputError, match=rf"^m: {told}$"):
        list(json_lines(content, "m"))


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_json_lines_are_read_with_a_mark_and_packed(pack: type[bytes]) -> None:
    assert list(json_lines(pack(b'\xef\xbb\xbf{"a": 1}\r\n\r\n[2]'), "x")) == [(1, {"a": 1}), (3, [2])]


def test_json_lines_that_unpack_to_gigabytes_are_refused_before_they_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gzipped, "MOST_BYTES", 1 << 20)
    with pytest.raises(InputError, match=r"^x: more than 1 MiB when unpacked; expected JSON lines in UTF-8$"):
        list(json_lines(gzip.compress(bytes(8 << 20)), "x"))
    # A large file may hold much.
    text = b"".join(b'"%d"\n' % (number**3) for number in range(200_000))
    assert len(text) > 1 << 20
    assert sum(1 for _ in json_lines(gzip.compress(text, 1), "x")) == 200_000


def test_damaged_json_lines_are_refused_in_one_line() -> None:
    content = bytearray(gzip.compress(b"".join(b'"%d"\n' % (number**3) for number in range(300))))
    for place in (12, 60, len(content) - 6):
        damaged = bytes(content[:place]) + bytes([content[place] ^ 0x5A]) + bytes(content[place + 1 :])
        with pytest.raises(InputError, match=r"^x: .*; expected JSON lines in UTF-8$"):
            list(json_lines(damaged, "x"))


def test_json_line_that_is_none_is_named() -> None:
    with pytest.raises(InputError, match=r"^x: line 2: Expecting value; expected JSON lines in UTF-8$"):
        list(json_lines(b"{}\nno\n", "x"))


@pytest.mark.parametrize(
    ("value", "text"), [("a", "a"), (None, None), (42, "42"), (0, "0"), (7.0, "7"), (0.5, "0.5"), (True, "true")]
)
def test_numbers_are_read_as_text(value: object, text: str | None) -> None:
    assert as_text(value) == text


@pytest.mark.parametrize("value", [float("nan"), [], {}])
def test_what_is_no_text_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"; expected a text$"):
        as_text(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None, "0.4", True])
def test_what_is_no_number_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match=r"; expected a number$"):
        as_number(value)


@pytest.mark.parametrize(
    ("name", "found"), [("a.flac", True), ("a.FLAC", True), ("a.Wav", True), ("._a.wav", False), ("a.txt", False)]
)
def test_recordings_in_folders_are_found_by_their_suffix(name: str, found: bool) -> None:
    assert is_recording(Path(name)) is found
