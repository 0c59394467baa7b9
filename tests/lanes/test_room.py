"""How many lanes fit a cluster: nodes that are gone or about to go do not count, and a change is told once."""

from __future__ import annotations

from typing import Any

import pytest

from raysearch.cluster import resources
from raysearch.lanes.lane import LaneSetup
from raysearch.lanes.room import Room


def setup(num_workers: int = 1, cpus: int = 2, use_gpu: bool = False) -> LaneSetup:
    return LaneSetup("", "", "", "", num_workers=num_workers, cpus=cpus, use_gpu=use_gpu, precision="fp32")


class Cluster:
    """Nodes by their names, as Ray tells of them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.nodes: dict[str, dict[str, Any]] = {}
        self.leaving: set[str] = set()
        monkeypatch.setattr(resources.ray, "nodes", lambda: list(self.nodes.values()))
        monkeypatch.setattr(resources, "draining", lambda: self.leaving)

    def join(self, name: str, *, alive: bool = True, **has: float) -> None:
        self.nodes[name] = {"NodeID": name, "Alive": alive, "Resources": has}


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    """A head without work; a node of 5 CPUs, of which two workers of 2 CPUs use 4; one with GPUs; one that is dead."""
    made = Cluster(monkeypatch)
    made.join("head", memory=1e9)
    made.join("a", CPU=5.0)
    made.join("b", CPU=4.0, GPU=1.0)
    made.join("dead", alive=False, CPU=64.0, GPU=8.0)
    return made


@pytest.mark.parametrize(
    ("of", "lanes"),
    [
        (setup(), 4),
        (setup(cpus=3), 2),
        (setup(cpus=1), 9),
        # A lane may have its workers on several nodes.
        (setup(num_workers=3), 1),
        (setup(use_gpu=True), 1),
        # One is asked for even where none fits: a node may come for it.
        (setup(cpus=6), 1),
        (setup(num_workers=2, use_gpu=True), 1),
    ],
)
def test_lanes_fit_by_cpus_and_gpus_of_nodes_that_live(cluster: Cluster, of: LaneSetup, lanes: int) -> None:
    assert Room(of, None).lanes == lanes


def test_lanes_follow_nodes_that_leave_and_join(cluster: Cluster) -> None:
    now_s, told = [0.0], []
    room = Room(setup(), None, lambda: now_s[0])
    room.changed = told.append
    cluster.leaving.add("a")
    assert room.look() == 4, "nodes are looked at every two seconds only"
    now_s[0] += 2.0
    assert [room.look(), room.look()] == [2, 2]
    cluster.join("c", CPU=2.0)
    now_s[0] += 2.0
    assert room.look() == 3
    assert told == [2, 3]


def test_number_in_the_document_stays_whatever_the_cluster_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("the cluster was asked")

    monkeypatch.setattr(resources.ray, "nodes", fail)
    now_s = [0.0]
    room = Room(setup(), 7, lambda: now_s[0])
    now_s[0] += 60.0
    assert room.look() == 7
