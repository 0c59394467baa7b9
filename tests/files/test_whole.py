"""What is written whole is old or new at every moment, and nothing is left of what was not finished."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from raysearch.files.whole import first_folder, whole_file, whole_folder, write_new, write_whole

WRITER = """
import sys
from pathlib import Path
from raysearch.files.whole import write_whole
while True:
    for letter in "ab":
        write_whole(Path(sys.argv[1]), letter * 2_000_000)
"""


def half(path: Path) -> None:
    path.write_text("ha")
    raise ZeroDivisionError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_text_and_bytes_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    for content in ("old", "é", b"\xff"):
        write_whole(path, content)
        assert path.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert names(tmp_path) == ["file.json"]


def test_file_of_a_writer_that_fails_stays_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file.json"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), whole_file(path) as part:
        half(part)
    assert (path.read_text(), names(tmp_path)) == ("old", ["file.json"])


def test_file_of_a_writer_that_is_killed_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    with subprocess.Popen([sys.executable, "-c", WRITER, str(path)]) as writer:
        while not path.exists():
            time.sleep(0.01)
        time.sleep(0.2)
        writer.send_signal(signal.SIGKILL)
    assert path.read_text() in ("a" * 2_000_000, "b" * 2_000_000)


def test_content_is_on_disk_before_it_has_its_name_and_the_name_after(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, happened = tmp_path / "file.txt", []

    def fsync(descriptor: int) -> None:
        target = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
        happened.append(("folder" if target == tmp_path else target.read_text(), path.exists()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(path, "new")
    assert happened == [("new", False), ("folder", True)]


def test_new_file_leaves_one_that_is_there(tmp_path: Path) -> None:
    write_new(tmp_path / "file", "first")
    with pytest.raises(FileExistsError):
        write_new(tmp_path / "file", "second")
    assert ((tmp_path / "file").read_text(), names(tmp_path)) == ("first", ["file"])


@pytest.mark.parametrize("written", [whole_folder, first_folder])
def test_folder_appears_when_it_is_whole(
    written: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    path = tmp_path / "deep" / "folder"
    with written(path) as part:
        (part / "inner").mkdir()
        (part / "inner" / "file").write_text("content")
        assert not path.exists()
    assert ((path / "inner" / "file").read_text(), names(path.parent)) == ("content", ["folder"])


@pytest.mark.parametrize("written", [whole_folder, first_folder])
def test_folder_of_a_writer_that_fails_is_not_there(
    written: Callable[[Path], AbstractContextManager[Path]], tmp_path: Path
) -> None:
    with pytest.raises(ZeroDivisionError), written(tmp_path / "folder") as part:
        half(part / "file")
    assert names(tmp_path) == []


def test_folder_never_takes_what_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "mine").touch()
    with pytest.raises(OSError, match="not empty"), whole_folder(tmp_path / "folder") as part:
        (part / "theirs").touch()
    assert (names(tmp_path), names(tmp_path / "folder")) == (["folder"], ["mine"])


def test_what_a_dead_writer_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "folder.part").mkdir()
    (tmp_path / "folder.part" / "torn").touch()
    with whole_folder(tmp_path / "folder") as part:
        (part / "file").touch()
    assert (names(tmp_path), names(tmp_path / "folder")) == (["folder"], ["file"])


def test_first_of_two_writers_of_a_folder_wins(tmp_path: Path) -> None:
    with first_folder(tmp_path / "folder") as slow, first_folder(tmp_path / "folder") as fast:
        for part in (slow, fast):
            (part / part.name).touch()
    assert (names(tmp_path), names(tmp_path / "folder")) == (["folder"], [fast.name])
