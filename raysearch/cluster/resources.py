"""What the cluster that Ray is connected to has."""

from __future__ import annotations

import math

import ray

from raysearch.spec.document import WorkerSettings


def cpus() -> float:
    """Number of CPUs of all nodes together."""
    found: float = ray.cluster_resources().get("CPU", 0)
    return found


def uses_gpu(workers: WorkerSettings) -> bool:
    """Whether each worker gets a GPU. With `auto` it does if the cluster has one for every worker of every lane.

    Lanes that are as many as fit have GPUs if there are enough for one of them.
    """
    if workers.use_gpu != "auto":
        return workers.use_gpu
    return ray.cluster_resources().get("GPU", 0) >= workers.fewest_lanes * workers.num_workers


def draining() -> set[str]:
    """The nodes that are alive and about to go: they take no new work."""
    return set(ray._private.state.state.get_draining_nodes())


def workers_that_fit(cpus: int, use_gpu: bool) -> int:
    """Number of workers that there is room for on the nodes which are alive and are not about to go.

    It is that of an empty cluster: what runs there now does not count.
    """
    leaving = draining()
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"] and node["NodeID"] not in leaving]
    rooms = (min(node.get("CPU", 0) // cpus, node.get("GPU", 0) if use_gpu else math.inf) for node in nodes)
    return int(sum(rooms))


def largest_node(use_gpu: bool) -> int:
    """Number of CPUs of the largest node that is alive and, if `use_gpu`, has a GPU. 0 if there is no such node.

    No worker can have more CPUs than this.
    """
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return int(max((node.get("CPU", 0) for node in nodes if node.get("GPU", 0) or not use_gpu), default=0))


def has(resource: str) -> bool:
    """Whether a node that is alive now was started with this resource."""
    return ray.cluster_resources().get(resource, 0) > 0


def head_cpus() -> float:
    """Number of CPUs of the node on which the driver runs."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return max((node.get("CPU", 0.0) for node in nodes if "node:__internal_head__" in node), default=0.0)
