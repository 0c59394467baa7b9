"""The process that fills MLflow: where it writes, and who may read that."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from raysearch.search.watching.following import end_mirror, start_mirror
from raysearch.storage.folder import SearchFolder


@pytest.mark.parametrize("before", [None, 0o644])
def test_log_is_read_by_its_owner_alone_also_where_it_was_not(
    before: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = SearchFolder(tmp_path, "tiny")
    folder.path.mkdir()
    log = folder.path / "mirror.log"
    if before:
        log.write_text("http://alice:s3cret@host\n")
        log.chmod(before)
    modes = []

    def start(command: list[str], *, stdout: int, **rest: Any) -> None:
        modes.append(log.stat().st_mode & 0o777)

    monkeypatch.setattr(subprocess, "Popen", start)
    start_mirror(folder)
    assert modes == [0o600]


def test_mirror_that_failed_then_the_command_that_completes_it_is_told(tmp_path: Path) -> None:
    said: list[str] = []
    mirror = subprocess.Popen(["false"], stdin=subprocess.PIPE)
    end_mirror(mirror, SearchFolder(tmp_path, "tiny"), said.append, waits=True)
    command = f"raysearch sync tiny --storage {tmp_path}"
    assert said == [f"MLflow lacks some of this search; complete it with: {command}"]
