"""Knows the small files that lie where a large one should, because its download went wrong."""

from __future__ import annotations

from pathlib import Path

from raysearch.errors import InputError

POINTERS = (b"version https://git-lfs.github.com/spec/", b"version https://hawser.github.com/spec/")
"""First line of the file that git leaves in place of a large one, now and in the first versions of git-lfs."""
PAGES = (b"<!doctype html", b"<html", b"<?xml")


def refuse_stand_in(file: Path | str, expected: str = "the file itself") -> None:
    """Says what a file is that is not the one which was meant. A file that cannot be opened is left to its reader.

    Raises: InputError if the file is a git-lfs pointer, a page of the web, or empty. `expected` says what it should be.
    """
    try:
        with open(file, "rb") as opened:
            head = opened.read(256)
    except OSError:
        return
    if not head:
        raise InputError(f"{file}: empty; expected {expected}")
    if found := stand_in(head):
        raise InputError(f"{file}: {found}")


def stand_in(content: bytes) -> str | None:
    """What the bytes with which a file begins say that it is, and how to get the one which was meant; else None."""
    if content.startswith(POINTERS):
        return "a git-lfs pointer; expected the file itself: git lfs pull"
    if content[:256].removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(PAGES):
        return "an HTML page; expected the file itself: download it again"
    return None
