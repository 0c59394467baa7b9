"""A search on a cluster of three raylets, sent with `ray job submit`: a node dies and another joins while it runs."""

import json
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.util.state import list_actors
from tenacity import Retrying, stop_after_attempt

from raysearch.search.study import Study
from raysearch.storage.folder import SearchFolder

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

CHECKOUT = Path(__file__).parents[2]
AN4 = CHECKOUT.parent / "shared/data/asr/an4"
TRIALS = 5
LIMIT_S = 300.0
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


def test_search_survives_a_lost_node_and_uses_a_new_one(cluster: Cluster, tmp_path: Path) -> None:
    first, second = (patiently(lambda: cluster.add_node(num_cpus=1)) for _ in range(2))
    corpus = [f"corpus.root={AN4}"] if AN4.exists() else ["corpus={kind: synthetic}"]
    settings = [word for change in [*corpus, *SHORT] for word in ("--set", change)]
    search = ["search", "search_spaces/dicehubert-an4.yaml", "--name", "three", "--trials", str(TRIALS), *settings]
    entry = [sys.executable, "-m", "raysearch.cli", *search, "--storage", str(tmp_path), "--json"]
    ray_command = str(Path(sys.executable).parent / "ray")
    address = f"http://{cluster.head_node.webui_url}"
    # No working directory is sent along: raylets of one machine share the folder it is unpacked in, and one that dies
    # removes it under the others.
    environment = json.dumps({"env_vars": {"PYTHONPATH": str(CHECKOUT)}})
    there = ["bash", "-c", f"cd {CHECKOUT} && exec {shlex.join(entry)}"]
    submit = [ray_command, "job", "submit", "--address", address, "--runtime-env-json", environment, "--", *there]
    log = tmp_path / "job.log"
    with log.open("w") as out:
        job = subprocess.Popen(submit, cwd=CHECKOUT, stdout=out, stderr=out)
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
