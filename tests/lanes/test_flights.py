"""One builder at a time over all nodes: what the tower says, and two nodes that want the same label set at once."""

import os
import signal
import time
from pathlib import Path

import pytest

from raysearch.cluster.connection import connected
from raysearch.lanes.flights import SILENCE_S, Tower, _tower, one_at_a_time


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_name_is_taken_by_one_builder_until_released() -> None:
    tower = Tower(Clock())
    assert tower.take("a", "one")
    assert not tower.take("a", "two")
    assert tower.take("b", "two")
    tower.release("a", "two")
    assert not tower.take("a", "two")
    tower.release("a", "one")
    assert tower.take("a", "two")


def test_silent_builder_gives_way_and_one_that_beats_does_not() -> None:
    clock = Clock()
    tower = Tower(clock)
    assert tower.take("a", "one")
    clock.now_s = SILENCE_S - 1
    assert tower.take("a", "one")
    clock.now_s = 2 * SILENCE_S - 2
    assert not tower.take("a", "two")
    clock.now_s = 2 * SILENCE_S
    assert tower.take("a", "two")


@pytest.mark.ray
def test_worker_in_a_placement_group_builds_where_nobody_has_before() -> None:
    """Ray Train's workers are in one that captures what they start; with the teacher in the store they come first."""
    import ray
    from ray.util.placement_group import placement_group
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    @ray.remote(num_cpus=1)
    def build() -> str:
        with one_at_a_time("a"):
            return "built"

    with connected(None):
        group = PlacementGroupSchedulingStrategy(
            placement_group([{"CPU": 1}]), placement_group_capture_child_tasks=True
        )
        assert ray.get(build.options(scheduling_strategy=group).remote()) == "built"


@pytest.mark.ray
def test_tower_that_is_killed_fails_nobody_who_builds_or_waits() -> None:
    import ray

    def kill() -> None:
        os.kill(ray.get(_tower().__ray_call__.remote(lambda tower: os.getpid())), signal.SIGKILL)

    with connected(None):
        with one_at_a_time("a"):
            kill()
        kill()
        with one_at_a_time("a"):
            pass


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("far", [True, False], ids=["store at a URI", "store in a shared folder"])
def test_two_nodes_that_ask_at_once_build_once(tmp_path: Path, far: bool) -> None:
    """The nodes are two raylets; with a URI each has a folder of its own, so that no file lock can help."""
    import ray
    from ray.cluster_utils import Cluster
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0})
    nodes = [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")

    @ray.remote(num_cpus=1)
    def ask(name: str) -> tuple[str, float, float, str]:
        from raysearch.lanes.flights import one_at_a_time
        from raysearch.targets.store import Store

        def build(folder: Path) -> None:
            with (tmp_path / "builds").open("a") as log:
                log.write(f"{name}\n")
            time.sleep(3.0)
            (folder / "content").write_text("whole")

        store = Store(
            tmp_path / (name if far else "shared"), f"file://{tmp_path / 'far'}" if far else "", one_at_a_time
        )
        (tmp_path / f"{name}.ready").touch()
        while len(list(tmp_path.glob("*.ready"))) < 2:
            time.sleep(0.01)
        asked_s = time.time()
        content = (store.teachers.get_or_build("ab", build) / "content").read_text()
        return content, asked_s, time.time(), ray.get_runtime_context().get_node_id()

    try:
        places = [NodeAffinitySchedulingStrategy(node.node_id, soft=False) for node in nodes]
        asks = [ask.options(scheduling_strategy=place).remote(f"node{i}") for i, place in enumerate(places)]
        answers = ray.get(asks)
    finally:
        ray.shutdown()
        cluster.shutdown()
    contents, asked_s, answered_s, on = zip(*answers, strict=True)
    assert contents == ("whole", "whole")
    assert len(set(on)) == 2
    assert max(asked_s) < min(answered_s), "the one asked while the other built"
    builds = (tmp_path / "builds").read_text().split()
    print(f"asked {abs(asked_s[0] - asked_s[1]):.2f} s apart on {len(set(on))} nodes; built {len(builds)} time")
    assert len(builds) == 1
