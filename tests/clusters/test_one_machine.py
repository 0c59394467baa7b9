"""The script for one machine, on a stand-in for Ray: a node that does not start is started again, three times."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "clusters/one-machine.sh"
# Tells of each start, and gives up where a file of that number lies. As Ray's, it stays until it is killed.
RAY = """#!/usr/bin/env bash
echo "$*" >> starts
[ ! -e "fails-$(wc -l < starts)" ] || exit 1
echo 'Ray runtime started.'
echo $$ >> alive
exec sleep 600
"""


@contextmanager
def one_machine(folder: Path, *, workers: int, fails: tuple[int, ...]) -> Iterator[subprocess.Popen[str]]:
    """The script with the stand-in, whose starts of these numbers fail; the first one is the head's."""
    (folder / "ray").write_text(RAY)
    (folder / "ray").chmod(0o755)
    for number in fails:
        (folder / f"fails-{number}").touch()
    environment = os.environ | {"PATH": f"{folder}:{os.environ['PATH']}", "IP": "10.0.0.1"}
    script = subprocess.Popen(
        [SCRIPT, str(workers)],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield script
    finally:
        script.terminate()
        script.communicate(timeout=60)
        # Whoever it started is gone with it.
        for pid in (folder / "alive").read_text().split():
            assert not Path("/proc", pid).exists()


def test_worker_that_starts_too_slowly_is_started_again(tmp_path: Path) -> None:
    with one_machine(tmp_path, workers=2, fails=(3, 4)) as script:
        assert script.stdout is not None
        assert script.stdout.readline().startswith("export RAY_ADDRESS=10.0.0.1:6379 ")
        assert script.poll() is None
        script.send_signal(signal.SIGTERM)
        _, said = script.communicate(timeout=60)
    assert said.splitlines() == ["worker 2 did not start (try 1 of 3)", "worker 2 did not start (try 2 of 3)"]
    head, *workers = (tmp_path / "starts").read_text().splitlines()
    assert "--head" in head
    assert len(workers) == 4
    assert all("--address=10.0.0.1:6379" in worker for worker in workers)


def test_worker_that_never_starts_ends_it(tmp_path: Path) -> None:
    with one_machine(tmp_path, workers=3, fails=(2, 3, 4)) as script:
        out, said = script.communicate(timeout=60)
    assert script.returncode == 1
    assert out == ""
    assert said.splitlines()[-1] == "worker 1 did not start (try 3 of 3)"
    assert len((tmp_path / "starts").read_text().splitlines()) == 4
