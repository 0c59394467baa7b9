"""Ctrl-C while a teacher is trained, through the command line: what others see before and after, and what is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest
import yaml

from raysearch.storage.stage import read_stage
from tests.search.fake_search import _manifests

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
ENDLESS = {
    "name": "endless",
    "teacher": {
        "source": "train", "method": "ctc", "updates": 100_000, "batch_s": 1,
        "depth": 1, "width": 32, "heads": 2, "channels": 16,
    },
    "task": {"kind": "asr"},
    "method": "dicehubert",
    "student": {"heads": 2, "depth": 1, "width": 32},
    "space": {"training.lr": {"float": [0.001, 0.1]}},
    "search": {"trials": 1, "updates": 5},
    "workers": {"lanes": 1},
}  # fmt: skip
MARK = "RAYSEARCH_TEST_MARK"


@pytest.fixture
def driver(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A search that trains its teacher for ever. Its processes carry a mark of their own in their environment."""
    corpus = {"kind": "manifest", "splits": _manifests(tmp_path / "speech")}
    (tmp_path / "endless.yaml").write_text(yaml.safe_dump({**ENDLESS, "corpus": corpus}))
    environment = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAYSEARCH_STORAGE")}
    process = subprocess.Popen(
        [sys.executable, "-m", "raysearch.cli", "search", "endless.yaml"],
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        env={**environment, MARK: uuid4().hex, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    yield process
    process.kill()
    process.wait()


def raysearch(root: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "raysearch.cli", *words, "--storage", str(root)]
    return subprocess.run(command, capture_output=True, text=True, timeout=300)


def marked(pid: int) -> list[int]:
    """The processes that carry the mark of this one, itself excepted."""
    mark = next(
        part for part in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0") if part.startswith(MARK.encode())
    )
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0") and int(entry.name) != pid:
                found.append(int(entry.name))
        except OSError:  # it ended meanwhile
            continue
    return found


def wait_until(condition: object, limit_s: float = 300.0) -> None:
    until_s = time.monotonic() + limit_s
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < until_s
        time.sleep(0.1)


def test_teacher_that_is_interrupted(driver: subprocess.Popen[str], tmp_path: Path) -> None:
    root = tmp_path / "searches"
    wait_until(lambda: (stage := read_stage(root / "endless")) and stage.works.get("teacher"))
    found = raysearch(root, "status")
    assert (found.returncode, found.stderr) == (0, "")
    assert found.stdout.startswith("endless: no trial yet of 1; ")
    assert "; training its teacher: training " in found.stdout
    work = json.loads(raysearch(root, "status", "endless", "--json").stdout)["works"]["teacher"]
    assert work["total"] == 100_000
    assert work["left_seconds"] > 0
    others = marked(driver.pid)
    assert len(others) > 3  # the store, the raylet, a worker at least
    driver.send_signal(signal.SIGINT)
    _, said = driver.communicate(timeout=120)
    assert driver.returncode == 130
    assert said.splitlines()[-1] == "interrupted; nothing is lost, continue with: raysearch resume endless"
    assert "Traceback" not in said
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in others), limit_s=60)
    assert raysearch(root, "status").stdout.endswith(
        f"; interrupted; continue with: raysearch resume endless --storage {root}\n"
    )
    front = raysearch(root, "front", "endless")
    assert (front.returncode, front.stderr[:34]) == (2, "endless: no trial yet: interrupted")
    assert raysearch(root, "rm", "endless", "--yes").returncode == 0
    assert not (root / "endless").exists()
