"""A search on as many lanes as fit: a node is drained in mid-trial, and another joins."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from ray.cluster_utils import Cluster
from ray.core.generated import autoscaler_pb2
from tenacity import Retrying, stop_after_attempt

from raysearch.storage.folder import SearchFolder
from tests.search.fake_search import ROOT, drive, make_search

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]

TRIALS, UPDATES = 8, 150
NOTICE_S = 120
"""Seconds that a drained node has left."""


def patiently(start: Callable[[], Any]) -> Any:
    """Ray gives a node half a minute to start, which on a machine that has other work is not always enough."""
    return Retrying(stop=stop_after_attempt(4), reraise=True)(start)


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head without work."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]))
        patch.setenv("TUNE_DISABLE_AUTO_CALLBACK_LOGGERS", "1")
        # Ray's own clean-up at exit could be set up in the main thread alone, and a node is to start in another one.
        cluster = patiently(lambda: Cluster(True, head_node_args={"num_cpus": 0}, shutdown_at_exit=False))
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield cluster
        ray.shutdown()
        cluster.shutdown()


def working_node(cluster: Cluster) -> str:
    """A new node with room for one lane."""
    node: str = patiently(lambda: cluster.add_node(num_cpus=1, object_store_memory=80 * 2**20)).node_id
    return node


def drain(cluster: Cluster, node: str) -> None:
    """What `ray drain-node` does, and an autoscaler whose provider takes a machine back."""
    reason = autoscaler_pb2.DrainNodeReason.Value("DRAIN_NODE_REASON_PREEMPTION")
    gcs = ray._raylet.GcsClient(address=cluster.address)
    accepted, why = gcs.drain_node(node, reason, "taken back", int(1000 * (time.time() + NOTICE_S)))
    assert accepted, why


def updates(folder: SearchFolder) -> dict[int, list[tuple[int, str]]]:
    """For each trial that has begun, its updates in the order in which they were done, and the nodes that did them."""
    lines = {int(path.parent.name): path.read_text().splitlines() for path in folder.path.glob("trials/*/updates")}
    return {number: [(int(line.split()[0]), line.split()[1]) for line in found] for number, found in lines.items()}


def until(true: Callable[[], Any], limit_s: float = 200.0) -> Any:
    """What is waited for, once it is true."""
    end_s = time.monotonic() + limit_s
    while not (found := true()):
        assert time.monotonic() < end_s
        time.sleep(0.05)
    return found


def test_drained_trial_goes_on_elsewhere_without_repeating_an_update_and_a_new_node_is_used(
    cluster: Cluster, tmp_path: Path
) -> None:
    first, second = working_node(cluster), working_node(cluster)
    method = "tests.search.trained_method:Trained"
    folder = make_search(tmp_path, {}, trials=TRIALS, lanes="auto", rungs=(1.0,), updates=UPDATES, method=method)
    lanes: list[int] = []
    said: dict[str, Any] = {}

    def strike() -> None:
        until(lambda: len([done for done in updates(folder).values() if len(done) > 10]) == 2)
        trial = next(number for number, done in updates(folder).items() if done[-1][1] == first)
        began_s = time.time()
        drain(cluster, first)
        kept = until(lambda: list((folder.trial(trial) / "checkpoints").glob("[0-9]*")))
        said.update({"trial": trial, "seconds to checkpoint": round(kept[0].stat().st_mtime - began_s, 1)})
        until(lambda: 1 in lanes)
        said["new node"] = working_node(cluster)

    striker = threading.Thread(target=strike)
    striker.start()
    study = drive(folder, changed=lanes.append)
    striker.join()
    done = updates(folder)
    moved = done[said["trial"]]
    nodes = [node for _, node in moved]
    repeated = sum(len(each) - len({number for number, _ in each}) for each in done.values())
    attempts = [study._frozen(number).user_attrs.get("attempts", 0) for number in done]
    print(json.dumps({**said, "updates repeated": repeated, "attempts": attempts, "lanes": lanes}))
    assert [record.state for record in study.records()] == ["complete"] * TRIALS
    for each in done.values():
        assert [number for number, _ in each] == list(range(UPDATES))
    assert attempts == [0] * TRIALS
    assert nodes[0] == first
    assert nodes[-1] in (second, said["new node"])
    assert lanes == [2, 1, 2]
    assert said["new node"] in {node for each in done.values() for _, node in each}
