"""One driver at a time: against living, dead, silent and sleeping ones."""

import errno
import os
import socket
import subprocess
import sys
import time

import optuna
import pytest

from raysearch.errors import AwayError, InputError, WorkError
from raysearch.storage import holder
from raysearch.storage.holder import SILENCE_S
from raysearch.storage.lease import Lease, living_driver
from raysearch.storage.studies import open_storage

ELSEWHERE = """
import os, sys
from raysearch.storage.lease import Lease
from raysearch.storage.studies import open_storage
Lease.take(open_storage(sys.argv[1]), "tiny")
print("held", flush=True)
sys.stdin.read()
"""


def driver(journal: str) -> subprocess.Popen:
    process = subprocess.Popen(
        [sys.executable, "-c", ELSEWHERE, journal], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == "held"
    return process


def names(journal: str) -> list[str]:
    return optuna.get_all_study_names(open_storage(journal))


def test_second_driver_is_refused_and_told_who_drives(study_storage: str) -> None:
    Lease.take(open_storage(study_storage), "tiny")
    with pytest.raises(InputError, match=f"tiny: driven by pid {os.getpid()} on {socket.gethostname()}, since"):
        Lease.take(open_storage(study_storage), "tiny")


def test_refused_driver_leaves_nothing_behind(study_storage: str) -> None:
    held = Lease.take(open_storage(study_storage), "tiny")
    with pytest.raises(InputError):
        Lease.take(open_storage(study_storage), "tiny")
    held.check()
    held.release()
    assert names(study_storage) == []


def test_released_lease_can_be_taken(study_storage: str) -> None:
    Lease.take(open_storage(study_storage), "tiny").release()
    Lease.take(open_storage(study_storage), "tiny").check()


def test_other_searches_of_the_storage_do_not_matter(study_storage: str) -> None:
    Lease.take(open_storage(study_storage), "tiny")
    Lease.take(open_storage(study_storage), "tiny2").check()


def test_killed_driver_on_this_host_gives_way_at_once(journal: str) -> None:
    dead = driver(journal)
    dead.kill()  # not waited for: a zombie is as dead
    while holder._born(dead.pid) is not None:
        time.sleep(0.01)
    Lease.take(open_storage(journal), "tiny").check()
    dead.wait()


def test_living_driver_on_this_host_is_never_replaced(journal: str) -> None:
    alive = driver(journal)
    with pytest.raises(InputError, match=f"pid {alive.pid}"):
        Lease.take(open_storage(journal), "tiny", clock=lambda: time.time() + 10 * SILENCE_S)
    alive.kill()
    alive.wait()


def test_sleeper_elsewhere_is_replaced_after_silence_and_stopped(
    study_storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(holder.socket, "gethostname", lambda: "far")
    sleeper = Lease.take(open_storage(study_storage), "tiny", clock=lambda: 1000.0)
    monkeypatch.setattr(holder.socket, "gethostname", lambda: "near")
    with pytest.raises(InputError, match="on far, since"):
        Lease.take(open_storage(study_storage), "tiny", clock=lambda: 1000.0 + SILENCE_S - 1)
    Lease.take(open_storage(study_storage), "tiny", clock=lambda: 1000.0 + SILENCE_S + 1)
    with pytest.raises(WorkError, match="another driver took over"):
        sleeper.check()
    with pytest.raises(KeyError):
        sleeper.beat()


def test_lease_that_could_not_be_given_back_is_no_ones_in_the_same_process(
    study_storage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook that resumes its search after the database was away is no second driver."""
    storage = open_storage(study_storage)

    def away(*given: object) -> None:
        raise AwayError("the study's database is away")

    with monkeypatch.context() as patch:
        patch.setattr(storage, "delete_study", away)
        Lease.take(storage, "tiny").release()
        patch.setattr(storage, "set_study_user_attr", away)
        with pytest.raises(AwayError):
            Lease.take(storage, "tiny")
    assert len(optuna.get_all_study_names(storage)) == 2
    assert living_driver(storage, "tiny") is None
    Lease.take(storage, "tiny").check()
    assert len(optuna.get_all_study_names(storage)) == 1


def test_beat_keeps_a_driver_elsewhere_alive(study_storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr(holder.socket, "gethostname", lambda: "far")
    held = Lease.take(open_storage(study_storage), "tiny", clock=lambda: now[0])
    now[0] += SILENCE_S
    held.beat()
    monkeypatch.setattr(holder.socket, "gethostname", lambda: "near")
    now[0] += SILENCE_S - 1
    with pytest.raises(InputError):
        Lease.take(open_storage(study_storage), "tiny", clock=lambda: now[0])


def test_full_disk_is_outlived_by_the_signs_of_life(journal: str, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Lease.take(open_storage(journal), "tiny")
    beat, beats = held.beat, iter([OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), None])

    def once_full() -> None:
        if err := next(beats):
            raise err
        beat()
        held.release()

    monkeypatch.setattr("raysearch.storage.lease.BEAT_S", 0.0)
    monkeypatch.setattr(held, "beat", once_full)
    held._keep()
    assert names(journal) == []
