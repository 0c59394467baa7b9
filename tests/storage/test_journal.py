"""A journal in which entries are written together: what Optuna's own storage reads, and what a killed writer leaves."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raysearch.storage.journal import Journal


def add_trial(study: optuna.Study, x: float) -> int:
    trial = study.ask()
    trial.suggest_float("x", x, x)
    trial.set_user_attr("rungs", {"a": (1, 2)})
    study.tell(trial, x)
    return trial.number


def told(path: Path) -> list[tuple[int, float]]:
    """What Optuna alone finds in the file."""
    study = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="s")
    return [(trial.number, trial.params["x"]) for trial in study.trials]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "study.journal"


@pytest.fixture
def journal(path: Path) -> Journal:
    return Journal(str(path))


@pytest.fixture
def study(journal: Journal) -> optuna.Study:
    return optuna.create_study(storage=journal, study_name="s")


def test_written_together_then_optuna_reads_it_in_order(path: Path, journal: Journal, study: optuna.Study) -> None:
    add_trial(study, 1.0)
    with journal.together():
        assert add_trial(study, 2.0) == 1
        with journal.together():
            assert add_trial(study, 3.0) == 2
        assert [trial.value for trial in study.trials] == [1.0, 2.0, 3.0]
        assert told(path) == [(0, 1.0)]
    assert told(path) == [(0, 1.0), (1, 2.0), (2, 3.0)]
    assert add_trial(study, 4.0) == 3
    assert study.trials[1].user_attrs == {"rungs": {"a": [1, 2]}}


def test_one_wait_for_the_disk(journal: Journal, study: optuna.Study) -> None:
    with patch("os.fsync", wraps=os.fsync) as waits, journal.together():
        for x in range(5):
            add_trial(study, float(x))
    assert waits.call_count == 1


def test_somebody_elses_entries_between_two_writings(path: Path, journal: Journal, study: optuna.Study) -> None:
    other = optuna.load_study(storage=JournalStorage(JournalFileBackend(str(path))), study_name="s")
    for x in (0.0, 2.0, 4.0):
        with journal.together():
            add_trial(study, x)
        add_trial(other, x + 1)
    assert told(path) == [(n, float(n)) for n in range(6)]
    assert [trial.value for trial in study.trials] == [trial.value for trial in other.trials]


def test_error_within_keeps_what_was_written_before_it(path: Path, journal: Journal, study: optuna.Study) -> None:
    def write() -> None:
        with journal.together():
            add_trial(study, 1.0)
            raise InterruptedError

    with pytest.raises(InterruptedError):
        write()
    assert told(path) == [(0, 1.0)]
    assert add_trial(study, 2.0) == 1


KILLED = """
import os, signal, sys
import optuna
from raysearch.storage.journal import Journal
journal = Journal(sys.argv[1])
study = optuna.load_study(storage=journal, study_name="s")
with journal.together():
    study.tell(study.ask(), 1.0)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_killed_within_then_nothing_of_it_is_there(path: Path, journal: Journal, study: optuna.Study) -> None:
    add_trial(study, 1.0)
    before = path.read_bytes()
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path)], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    assert path.read_bytes() == before
