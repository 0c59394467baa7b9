"""What an embedded Ray leaves behind, played by processes that only sleep."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from raysearch.cluster import sweeper
from raysearch.cluster.connection import _swept_folder
from raysearch.errors import Interrupted

SLEEPER = [sys.executable, "-S", "-c", "import time; print('up', flush=True); time.sleep(600)"]


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    processes: list[subprocess.Popen[str]] = []
    yield processes
    for process in processes:
        process.kill()
        process.wait()


def sleeper(folder: str) -> subprocess.Popen[str]:
    environment = {**os.environ, sweeper.VARIABLE: folder}
    process = subprocess.Popen(SLEEPER, env=environment, stdout=subprocess.PIPE, text=True, start_new_session=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "up\n"
    return process


def test_processes_of_the_folder_end_and_no_others(started: list[subprocess.Popen[str]]) -> None:
    with _swept_folder() as folder:
        started += [sleeper(folder), sleeper(folder), sleeper(f"{folder}-other")]
        assert sorted(sweeper.processes(folder)) == sorted(process.pid for process in started[:2])
    assert [process.wait(timeout=60) for process in started[:2]] == [-9, -9]
    assert started[2].poll() is None
    assert not Path(folder).exists()


def test_driver_that_is_about_to_end_has_its_ray_until_then(started: list[subprocess.Popen[str]]) -> None:
    def drive() -> None:
        with _swept_folder() as folder:
            folders.append(folder)
            started.append(sleeper(folder))
            raise Interrupted

    folders: list[str] = []
    with pytest.raises(Interrupted):
        drive()
    assert started[0].poll() is None
    assert Path(folders[0]).exists()
    sweeper.sweep(folders[0])


def test_driver_that_is_killed_leaves_nothing_behind(started: list[subprocess.Popen[str]]) -> None:
    code = (
        "from raysearch.cluster.connection import _swept_folder\n"
        "with _swept_folder() as folder: print(folder, flush=True); input()"
    )
    driver = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    started.append(driver)
    assert driver.stdout is not None
    folder = driver.stdout.readline().strip()
    started.append(sleeper(folder))
    driver.kill()
    assert started[1].wait(timeout=60) == -9
