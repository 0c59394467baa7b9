"""Small files that lie where a large one should."""

from pathlib import Path

import pytest

from raysearch.errors import InputError
from raysearch.files.stand_ins import refuse_stand_in

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0000\nsize 377569754\n"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (POINTER, "a git-lfs pointer; expected the file itself: git lfs pull"),
        (b"<!DOCTYPE html>\n<html>Not found</html>", "an HTML page; expected the file itself: download it again"),
        (b"\xef\xbb\xbf \n<HTML lang=en>", "an HTML page; expected the file itself: download it again"),
        (b"<?xml version='1.0'?><Error/>", "an HTML page; expected the file itself: download it again"),
        (b"", "empty; expected the file itself"),
    ],
)
def test_stand_in_is_told_by_what_it_is(content: bytes, told: str, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(InputError) as caught:
        refuse_stand_in(tmp_path / "a.pt")
    assert str(caught.value) == f"{tmp_path / 'a.pt'}: {told}"


@pytest.mark.parametrize("content", [b"PK\x03\x04", b"{}", b"version: 3"])
def test_other_files_pass(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.pt").write_bytes(content)
    refuse_stand_in(tmp_path / "a.pt")
    refuse_stand_in(tmp_path / "not there")
