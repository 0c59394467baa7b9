"""A driver that is killed in its supernet's training and again in a trial's, and resumed: the same front."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from raysearch.search.study import Study
from raysearch.storage.folder import SearchFolder
from tests.search.killed_supernet import TRIALS, document, outcome

ROOT = Path(__file__).parents[2]


def test_killed_in_the_supernets_training_and_in_a_trial_then_the_front_is_the_same(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "tests.search.killed_supernet", str(tmp_path)]
    ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout.splitlines()[-1])
    assert found["alive"] == [False, False, False]
    assert found["killed"] == found["whole"]
    states = [(state, rung) for _, state, rung, *_ in found["whole"]["trials"] if state != "infeasible"]
    assert [state for state, _ in states] == ["complete"] * TRIALS
    assert {rung for _, rung in states} == {0, 4}, "some were trained further, so that one could be killed there"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_real_driver_killed_in_the_supernets_training_and_among_trials_then_the_front_is_the_same(
    tmp_path: Path,
) -> None:
    spec = tmp_path / "sliced.yaml"
    spec.write_text(yaml.safe_dump(document(tmp_path, updates=300)))
    killed, whole = (SearchFolder(tmp_path / name, "sliced") for name in ("killed", "whole"))
    _until(_raysearch("search", spec, killed), lambda: any(killed.root.glob("_store/trainings/*/checkpoints/*")))
    _until(_raysearch("resume", "sliced", killed), lambda: _ended(killed) >= TRIALS // 2)
    assert _raysearch("resume", "sliced", killed).wait() == 0
    assert _raysearch("search", spec, whole).wait() == 0
    assert outcome(killed) == outcome(whole)


def _raysearch(verb: str, what: Path | str, folder: SearchFolder) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    command = [sys.executable, "-m", "raysearch.cli", verb, str(what), "--storage", str(folder.root)]
    return subprocess.Popen(command, env=environment)


def _until(driver: subprocess.Popen[bytes], happened: Callable[[], bool]) -> None:
    """Kills the driver as soon as something has happened, which must be before it ends."""
    while not happened():
        assert driver.poll() is None, "it ended before"
        time.sleep(0.2)
    driver.send_signal(signal.SIGKILL)
    assert driver.wait() == -signal.SIGKILL


def _ended(folder: SearchFolder) -> int:
    try:
        return sum(record.state == "complete" for record in Study.of(folder).records())
    except KeyError:
        return 0
