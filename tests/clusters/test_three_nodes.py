"""A search on a cluster of three raylets, sent with `ray job submit`: a node dies, another joins, its driver's goes."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2
from ray.util.state import list_actors
from tenacity import Retrying, stop_after_attempt, wait_fixed

from raysearch.search.study import Study
from raysearch.storage.folder import SearchFolder

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

CHECKOUT = Path(__file__).parents[2]
AN4 = CHECKOUT.parent / "shared/data/asr/an4"
TRIALS = 5
LIMIT_S = 300.0
NOTICE_S = 15.0
"""Seconds between the notice that a node goes and its end."""
SHORT = [
    *("teacher.depth=3", "teacher.width=128", "teacher.updates=150", "search.updates=100"),
    *("space.student.front_end={choice: [logmel-25hz]}", "space.student.channels={choice: [64, 128]}"),
    *("space.student.depth={int: [1, 2]}", "space.targets.clusters={choice: [100]}", "task={kind: phonemes}"),
]


def patiently(start: Callable[[], Any]) -> Any:
    """Ray gives a node half a minute to start, which on a machine that has other work is not always enough."""
    return Retrying(stop=stop_after_attempt(4), reraise=True)(start)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without work, with its dashboard, and two nodes that work."""
    os.environ["RAY_ENABLE_UV_RUN_RUNTIME_ENV"] = "0"
    cluster = patiently(
        lambda: Cluster(
            initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": True, "dashboard_port": 8367}
        )
    )
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def until(true: Callable[[], bool], what: str, job: subprocess.Popen[bytes], log: Path) -> None:
    deadline_s = time.monotonic() + LIMIT_S
    while not true():
        assert job.poll() is None, f"the job ended: {log.read_text()[-2000:]}"
        assert time.monotonic() < deadline_s, f"not within {LIMIT_S:.0f} s: {what}: {log.read_text()[-2000:]}"
        time.sleep(1.0)


def nodes_of_lanes() -> set[str]:
    """Nodes on which a Ray Train worker lives."""
    alive = list_actors(filters=[("state", "=", "ALIVE")], limit=1000)
    return {actor.node_id for actor in alive if "TrainWorker" in actor.class_name}


def trials_ended(folder: SearchFolder) -> int:
    if not folder.exists:
        return 0
    try:
        records = Study.open(folder.study_storage(), folder.name).records()
    except KeyError:
        return 0
    return sum(record.state == "complete" for record in records)


def the_search(storage: Path) -> list[str]:
    corpus = [f"corpus.root={AN4}"] if AN4.exists() else ["corpus={kind: synthetic}"]
    settings = [word for change in [*corpus, *SHORT] for word in ("--set", change)]
    search = ["search", "search_spaces/dicehubert-an4.yaml", "--name", "three", "--trials", str(TRIALS), *settings]
    return [*search, "--storage", str(storage), "--json"]


def submitted(cluster: Cluster, verb: list[str], log: Path, *options: str) -> subprocess.Popen[bytes]:
    """A job that runs a verb of raysearch, and `ray job submit`, which waits for its end."""
    ray_command = str(Path(sys.executable).parent / "ray")
    address = f"http://{cluster.head_node.webui_url}"
    # No working directory is sent along: raylets of one machine share the folder it is unpacked in, and one that dies
    # removes it under the others.
    environment = json.dumps({"env_vars": {"PYTHONPATH": str(CHECKOUT)}})
    entry = shlex.join([sys.executable, "-m", "raysearch.cli", *verb])
    there = ["bash", "-c", f"cd {CHECKOUT} && exec {entry}"]
    where = ["--address", address, "--runtime-env-json", environment, *options]
    with log.open("w") as out:
        return subprocess.Popen(
            [ray_command, "job", "submit", *where, "--", *there], cwd=CHECKOUT, stdout=out, stderr=out
        )


def test_search_survives_a_lost_node_and_uses_a_new_one(cluster: Cluster, tmp_path: Path) -> None:
    first, second = (patiently(lambda: cluster.add_node(num_cpus=1)) for _ in range(2))
    log = tmp_path / "job.log"
    job = submitted(cluster, the_search(tmp_path), log)
    folder = SearchFolder(tmp_path, "three")
    working = {first.node_id, second.node_id}
    until(lambda: nodes_of_lanes() == working, "a lane on each node", job, log)
    until(lambda: trials_ended(folder) >= 1, "a trial complete", job, log)
    before = trials_ended(folder)
    cluster.remove_node(first, allow_graceful=False)
    patiently(lambda: cluster.add_node(num_cpus=1))
    # By what is new: a start that was given up as too slow may have become a node all the same.
    until(lambda: bool(nodes_of_lanes() - working), "a lane on the new node", job, log)
    after = trials_ended(folder)
    assert after < TRIALS, "the search ended before the new node could be of use"
    assert job.wait(timeout=LIMIT_S) == 0, log.read_text()[-2000:]
    study = Study.open(folder.study_storage(), "three")
    states = [record.state for record in study.records()]
    lost = {record.number: study._frozen(record.number).user_attrs.get("attempts", 0) for record in study.records()}
    said = {"states": states, "lost attempts": lost, "complete when the node died": before, "and when replaced": after}
    print(json.dumps(said))
    assert states.count("complete") == TRIALS
    assert "running" not in states
    assert max(lost.values()) >= 1, "the lost node's trial ran again under its number"


def test_driver_on_a_drained_node_ends_with_it_and_a_resume_elsewhere_finishes(
    cluster: Cluster, tmp_path: Path
) -> None:
    spot = patiently(lambda: cluster.add_node(num_cpus=1, resources={"spot": 1}))
    patiently(lambda: cluster.add_node(num_cpus=1))
    log = tmp_path / "job.log"
    job = submitted(cluster, the_search(tmp_path), log, "--entrypoint-resources", json.dumps({"spot": 0.1}))
    folder = SearchFolder(tmp_path, "three")
    until(lambda: trials_ended(folder) >= 1, "a trial complete", job, log)
    ends_s = time.time() + NOTICE_S
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    gcs = ray._raylet.GcsClient(address=cluster.address)
    assert gcs.drain_node(spot.node_id, reason, "taken back", int(1000 * ends_s))[0]
    time.sleep(NOTICE_S)
    cluster.remove_node(spot, allow_graceful=False)
    # With a real machine its processes go. What sent the job has lost it then, and says nothing of its end.
    for process in psutil.process_iter(["cmdline"]):
        if str(tmp_path) in (process.info["cmdline"] or []) and process.pid != job.pid:
            process.kill()
    job.wait(timeout=LIMIT_S)
    before = {r.number: r for r in Study.open(folder.study_storage(), "three").records()}
    ended = [number for number, record in before.items() if record.state == "complete"]
    assert len(ended) < TRIALS, "the search ended before the node went"

    def resumed() -> None:
        again = submitted(cluster, ["resume", "three", "--storage", str(tmp_path), "--json"], log)
        assert again.wait(timeout=LIMIT_S) == 0, log.read_text()[-2000:]

    # Two lanes share the node that is left. The driver that went may hold the search for some seconds yet.
    Retrying(stop=stop_after_attempt(6), wait=wait_fixed(15), reraise=True)(resumed)
    after = {r.number: r for r in Study.open(folder.study_storage(), "three").records()}
    print(json.dumps({"complete when the driver's node went": ended, "states": [r.state for r in after.values()]}))
    assert [record.state for record in after.values()] == ["complete"] * TRIALS
    assert [after[number].metrics for number in ended] == [before[number].metrics for number in ended]
