"""What a training takes is counted over all its attempts, while whoever listens hears how far it is."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from raysearch.training.monitoring import spent
from raysearch.training.monitoring.progress import heard_by, tell
from raysearch.training.monitoring.spent import SPENT_NAME, Spent, read_spent, spending


def burn(cpu_s: float) -> None:
    ends_s = Spent.now().cpu_seconds + cpu_s
    while Spent.now().cpu_seconds < ends_s:
        pass


def test_attempts_add_up_and_one_that_fails_counts(tmp_path: Path) -> None:
    def fails() -> None:
        with spending(tmp_path):
            burn(0.1)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fails()
    first = read_spent(tmp_path)
    assert first is not None
    assert first.cpu_seconds >= 0.1
    assert first.seconds > 0
    with spending(tmp_path):
        burn(0.1)
    second = read_spent(tmp_path)
    assert second is not None
    assert second.cpu_seconds >= first.cpu_seconds + 0.1
    assert second.seconds > first.seconds


def _killed(folder: Path) -> None:
    spent.KEPT_EVERY_S = 0.0
    with spending(folder):
        burn(0.1)
        tell("training", 1, 2)
        os.kill(os.getpid(), signal.SIGKILL)


def test_attempt_that_is_killed_counts_up_to_what_it_told_last(tmp_path: Path) -> None:
    process = multiprocessing.get_context("fork").Process(target=_killed, args=(tmp_path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert json.loads((tmp_path / SPENT_NAME).read_text())["cpu_seconds"] >= 0.1


def test_who_listens_already_goes_on_hearing(tmp_path: Path) -> None:
    heard = []
    with heard_by(lambda *told: heard.append(told)):
        with spending(tmp_path):
            tell("training", 1, 2)
        tell("training", 2, 2)
    assert [done for _, done, *_ in heard] == [1, 2]


def test_cores_of_processes_that_were_waited_for_count() -> None:
    before = Spent.now()
    process = multiprocessing.get_context("fork").Process(target=burn, args=(0.3,))
    process.start()
    process.join()
    assert (Spent.now() - before).cpu_seconds >= 0.3


def test_nothing_is_known_where_nobody_counted(tmp_path: Path) -> None:
    assert read_spent(tmp_path) is None
