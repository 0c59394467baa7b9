"""A search under fire, on real lanes: workers, nodes and drivers are killed, trials break in every way they can.

After each: as many trials as asked, none lost that had finished, none told twice, none left running. Where only
machines and drivers died, the study is that of an uninterrupted search.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import optuna
import pytest
import ray
from ray.cluster_utils import Cluster

from raysearch.errors import WorkError
from raysearch.search.study import Study
from raysearch.storage.folder import SearchFolder
from raysearch.storage.studies import open_storage
from tests.search.fake_search import ROOT, drive, make_search, outcomes, without_faults

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """A head without CPUs for trials, and a node with two."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "object_store_memory": 80 * 2**20})
        cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
        ray.shutdown()
        cluster.shutdown()


@pytest.fixture(params=["journal", "postgres"])
def database(request: pytest.FixtureRequest) -> str:
    """Where the study lives: each test runs with a journal in the search's folder and with PostgreSQL."""
    url: str = "" if request.param == "journal" else request.getfixturevalue("empty_postgres")
    return url


def assert_whole(study: Study, folder: SearchFolder, trials: int) -> None:
    """The promises above, from the storage itself."""
    records = [record for record in study.records() if record.state != "infeasible"]
    assert len(records) == trials
    assert {record.state for record in records} <= {"complete", "stopped", "failed"}
    frozen = optuna.load_study(storage=open_storage(folder.study_storage()), study_name="fake").trials
    assert all(trial.state.is_finished() for trial in frozen)
    configs = [str(sorted(record.config.items())) for record in records]
    assert len(set(configs)) == trials


def attempts(folder: SearchFolder, number: int) -> list[str]:
    return (folder.trial(number) / "attempts").read_text().splitlines()


def wait_for(condition: Callable[[], object], limit_s: float = 200.0) -> None:
    until_s = time.monotonic() + limit_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.1)


def test_each_cause_gets_its_own_retry(cluster: Cluster, tmp_path: Path, database: str) -> None:
    """One search in which trials 0 to 4 are killed, run out of memory once and twice, diverge, raise."""
    orders = {"0": "kill", "1": "oom", "2": "oom always", "3": "nan", "4": "user"}
    folder = make_search(tmp_path, orders, trials=7, lanes=2, database=database)
    study = drive(folder)
    assert_whole(study, folder, 7)
    states = {record.number: (record.state, record.cause) for record in study.records()}
    assert [states[n] for n in (0, 1)] == [("complete", None)] * 2
    assert [states[n] for n in (2, 3, 4)] == [("failed", cause) for cause in ("oom", "nan", "user")]
    assert "no such thing" in (study.record(4).error or "")
    assert [len(attempts(folder, n)) for n in range(5)] == [2, 2, 2, 1, 1]
    whole, half = (float(line.split()[1]) for line in attempts(folder, 1))
    assert half == whole / 2
    assert study.record(1).overrides == {"training.batch_s": half, "training.accumulate": 2}


def test_worker_that_hangs_is_replaced(cluster: Cluster, tmp_path: Path, database: str) -> None:
    folder = make_search(tmp_path, {"0": "hang"}, trials=2, lanes=1, database=database)
    study = drive(folder, patience_s=60.0)
    assert_whole(study, folder, 2)
    assert study.record(0).state == "complete"
    assert len(attempts(folder, 0)) >= 2


def test_objective_that_is_no_number_fails_the_trial(cluster: Cluster, tmp_path: Path, database: str) -> None:
    folder = make_search(tmp_path, {"error 0": float("nan")}, trials=2, lanes=1, database=database)
    study = drive(folder)
    assert_whole(study, folder, 2)
    assert (study.record(0).state, study.record(0).cause) == ("failed", "nan")


def test_full_disk_ends_the_search_and_a_resume_finishes(cluster: Cluster, tmp_path: Path, database: str) -> None:
    folder = make_search(tmp_path, {"0": "disk"}, trials=2, lanes=1, database=database)
    with pytest.raises(WorkError, match=r"trial 0: disk full while writing state.json$"):
        drive(folder)
    study = drive(folder)
    assert_whole(study, folder, 2)
    assert study.record(0).state == "complete"


def test_killed_node_costs_no_trial(cluster: Cluster, tmp_path: Path, database: str) -> None:
    node = cluster.add_node(num_cpus=2, object_store_memory=80 * 2**20)
    folder = make_search(tmp_path, {"seconds": 2.0}, trials=6, lanes=4, database=database)

    def strike() -> None:
        wait_for(lambda: len(list(folder.path.glob("trials/*/done/5"))) >= 3)
        cluster.remove_node(node, allow_graceful=False)

    striker = threading.Thread(target=strike)
    striker.start()
    study = drive(folder)
    striker.join()
    assert_whole(study, folder, 6)
    assert [record.state for record in study.records()] == ["complete"] * 6
    assert outcomes(study) == outcomes(without_faults(folder))


def test_killed_drivers_lose_nothing_however_often(tmp_path: Path, database: str) -> None:
    """Killed twice in mid-trial, after the search had got further, then left alone; a second driver is refused."""
    folder = make_search(tmp_path, {"seconds": 4.0}, trials=5, lanes=1, database=database)
    finished: dict[int, list[str]] = {}

    def rungs_done() -> int:
        return len(list(folder.path.glob("trials/*/done/*")))

    def attempts_of_finished() -> dict[int, list[str]]:
        records = Study.open(folder.study_storage(), "fake").records()
        return {r.number: attempts(folder, r.number) for r in records if r.state == "complete"}

    def drives(pid: int) -> bool:
        named = folder.path / "driver"
        return named.exists() and named.read_text() == str(pid)

    for _ in range(2):
        driver = subprocess.Popen([sys.executable, "-m", "tests.search.fake_search", str(tmp_path)])
        # The workers of a driver that was killed may live on for a moment, so rungs alone do not tell.
        wait_for(partial(drives, driver.pid))
        before = rungs_done()
        wait_for(lambda before=before: rungs_done() > before)
        second = subprocess.run(
            [sys.executable, "-m", "tests.search.fake_search", str(tmp_path)], capture_output=True, text=True
        )
        assert f"driven by pid {driver.pid}" in second.stderr
        os.kill(driver.pid, signal.SIGKILL)
        driver.wait()
        found = attempts_of_finished()
        assert finished.items() <= found.items()
        finished = found
    assert subprocess.run([sys.executable, "-m", "tests.search.fake_search", str(tmp_path)]).returncode == 0
    study = Study.open(folder.study_storage(), "fake")
    assert_whole(study, folder, 5)
    assert finished
    assert finished.items() <= attempts_of_finished().items()
    assert outcomes(study) == outcomes(without_faults(folder))
