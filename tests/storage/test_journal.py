"""A journal in which entries are written together: what Optuna's own storage reads, and what a killed writer leaves."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from unittest.mock import patch

import numpy as np
import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raysearch.errors import WorkError
from raysearch.storage import lock
from raysearch.storage.journal import Journal
from raysearch.storage.lock import JournalLock


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


# Kills itself at the n-th line that it runs of the lock, the journal or Optuna's file, while it writes trials.
KILLED = """
import os, signal, sys
import optuna
from raysearch.storage.journal import Journal
journal = Journal(sys.argv[1])
study = optuna.load_study(storage=journal, study_name="s")
left = int(sys.argv[2])
def count(frame, event, _):
    global left
    if not frame.f_code.co_filename.endswith(("storage/lock.py", "storage/journal.py", "journal/_file.py")):
        return None
    left -= event == "line"
    if left < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return count
sys.settrace(count)
while True:
    with journal.together():
        trial = study.ask()
        trial.suggest_float("x", 1.0, 1.0)
        study.tell(trial, 1.0)
    study.set_user_attr("told", trial.number)
"""


@pytest.mark.parametrize("seed", range(20))
def test_killed_writer_keeps_nobody_waiting_and_leaves_whole_lines(
    path: Path, journal: Journal, study: optuna.Study, seed: int
) -> None:
    add_trial(study, 0.0)
    lines = int(np.random.default_rng(seed).integers(1, 2_000))
    killed = subprocess.run([sys.executable, "-c", KILLED, str(path), str(lines)], cwd=Path(__file__).parents[2])
    assert killed.returncode == -signal.SIGKILL
    add_trial(optuna.load_study(storage=Journal(str(path)), study_name="s"), 2.0)
    numbers = [number for number, _ in told(path)]
    assert numbers == list(range(len(numbers)))
    assert told(path)[0] == (0, 0.0)
    assert told(path)[-1][1] == 2.0
    assert not path.with_name("study.journal.lock").is_symlink()


def test_lock_of_a_living_holder_is_waited_for_and_not_broken(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine, theirs = JournalLock(str(path)), JournalLock(str(path))
    theirs.acquire()
    naps: list[float] = []

    def nap(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 100:
            theirs.release()

    monkeypatch.setattr(lock.time, "sleep", nap)
    mine.acquire()
    assert len(naps) >= 100


def test_lock_left_on_another_host_is_broken_once_it_has_stood_unchanged(
    path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    link = path.with_name("study.journal.lock")
    link.symlink_to("elsewhere/1/2/3/abcd")
    now_s = 0.0

    def nap(seconds: float) -> None:
        nonlocal now_s
        now_s += 1.0

    monkeypatch.setattr(lock.time, "sleep", nap)
    monkeypatch.setattr(lock.time, "monotonic", lambda: now_s)
    JournalLock(str(path)).acquire()
    assert lock.GRACE_S <= now_s <= lock.GRACE_S + 3
    assert [record.getMessage().partition(": ")[2][:20] for record in caplog.records] == [
        "waiting for its hold",
        "its holder died (els",
    ]


def test_lock_that_was_broken_and_taken_by_another_is_left_to_it(path: Path) -> None:
    slept, other = JournalLock(str(path)), JournalLock(str(path))
    slept.acquire()
    path.with_name("study.journal.lock").unlink()
    other.acquire()
    slept.release()
    assert not slept._take()
    other.release()
    assert slept._take()


def test_interrupted_while_it_takes_the_lock_then_the_lock_is_free(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = JournalLock(str(path))
    monkeypatch.setattr(one, "_take", lambda: (JournalLock._take(one), (_ for _ in ()).throw(KeyboardInterrupt))[0])
    with pytest.raises(KeyboardInterrupt):
        one.acquire()
    assert JournalLock(str(path))._take()


@pytest.mark.parametrize("torn", [b'{"op_code":', b'{"op_code": 4, "worker_id": "x"}', b"\x00" * 100_000])
def test_torn_last_line_is_cut_off_before_the_next(path: Path, journal: Journal, study: optuna.Study, torn) -> None:
    add_trial(study, 1.0)
    before = path.read_bytes()
    path.write_bytes(before + torn)
    assert told(path) == [(0, 1.0)]
    add_trial(optuna.load_study(storage=Journal(str(path)), study_name="s"), 2.0)
    assert path.read_bytes().startswith(before)
    assert told(path) == [(0, 1.0), (1, 2.0)]


def test_full_disk_leaves_the_journal_as_it_was(path: Path, journal: Journal, study: optuna.Study) -> None:
    add_trial(study, 1.0)
    before = path.read_bytes()
    with patch("os.fsync", side_effect=OSError(errno.ENOSPC, "No space left on device")), pytest.raises(OSError):
        study.set_user_attr("a", 1)
    assert path.read_bytes() == before
    add_trial(study, 2.0)
    assert told(path) == [(0, 1.0), (1, 2.0)]


@pytest.mark.parametrize("odd", [b"{}\n", b"[]\n", b"\xff\xfe\n", b"{\n"])
def test_damage_within_the_journal_is_one_line(path: Path, journal: Journal, study: optuna.Study, odd: bytes) -> None:
    add_trial(study, 1.0)
    first, rest = path.read_bytes().split(b"\n", 1)
    path.write_bytes(first + b"\n" + odd + rest)
    with pytest.raises(WorkError, match=r"study.journal: damaged \(.*expected a study.journal"):
        optuna.load_study(storage=Journal(str(path)), study_name="s")
