"""A driver that is killed at random moments within its writes, holding the lock or a transaction, and resumed."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import optuna

from raysearch.storage.studies import open_storage
from tests.search.killed_driver import TRIALS
from tests.search.made_up import error_of

LIVES = 20


def test_driver_killed_within_its_writes_loses_nothing_and_tells_nothing_twice(study_storage: str) -> None:
    command = [sys.executable, "-m", "tests.search.killed_driver", study_storage, str(LIVES)]
    ran = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["lives"] >= LIVES // 2
    assert [state for *_, state, _, _ in found["whole"]] == ["complete"] * TRIALS
    assert len(found["killed"]) == TRIALS
    # A database has no writes that belong together, so that a driver may die between a trial's birth and its cost.
    unborn = [trial for trial in found["killed"] if trial[3] == "lost"]
    if "://" in study_storage:
        assert len(unborn) <= LIVES
    else:
        assert found["killed"] == found["whole"]
    complete = [trial for trial in found["killed"] if trial not in unborn]
    assert [(state, per) for _, _, state, _, per in complete] == [("complete", error_of(c)) for _, c, *_ in complete]
    study = optuna.load_study(storage=open_storage(study_storage), study_name="killed")
    assert all(trial.state.is_finished() for trial in study.trials)
