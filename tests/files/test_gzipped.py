from pathlib import Path

import pytest

from raysearch.errors import InputError
from raysearch.files import gzipped
from raysearch.files.gzipped import read_gzip, write_gzip

CONTENT = "".join(f"line {number} of many\n" for number in range(300)).encode()


def test_same_content_is_read_back_and_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one.gz", "two.gz"):
        write_gzip(tmp_path / name, CONTENT)
    assert read_gzip(tmp_path / "one.gz", "a test") == CONTENT
    assert (tmp_path / "one.gz").read_bytes() == (tmp_path / "two.gz").read_bytes()


@pytest.mark.parametrize("left", [1, 10, 200])
def test_torn_file_is_refused_in_one_line(tmp_path: Path, left: int) -> None:
    write_gzip(tmp_path / "a.gz", CONTENT)
    check_refused(tmp_path / "a.gz", (tmp_path / "a.gz").read_bytes()[:left])


@pytest.mark.parametrize("place", [0, 60, -6])
def test_damaged_file_is_refused_in_one_line(tmp_path: Path, place: int) -> None:
    write_gzip(tmp_path / "a.gz", CONTENT)
    content = bytearray((tmp_path / "a.gz").read_bytes())
    content[place] ^= 0x5A
    check_refused(tmp_path / "a.gz", bytes(content))


def test_small_file_that_unpacks_to_gigabytes_is_refused_before_it_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gzipped, "MOST_BYTES", 1 << 20)
    write_gzip(tmp_path / "a.gz", bytes(1 << 20))
    assert len(read_gzip(tmp_path / "a.gz", "a test")) == 1 << 20
    write_gzip(tmp_path / "a.gz", bytes((1 << 20) + 1))
    check_refused(tmp_path / "a.gz", (tmp_path / "a.gz").read_bytes())


def check_refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"a\.gz: .+; expected a test") as refused:
        read_gzip(path, "a test")
    assert "\n" not in str(refused.value)
