"""What the cluster that Ray is connected to has."""

from __future__ import annotations

import ray

from raysearch.spec.document import WorkerSettings


def cpus() -> float:
    """CPUs of all nodes together."""
    found: float = ray.cluster_resources().get("CPU", 0)
    return found


def uses_gpu(workers: WorkerSettings) -> bool:
    """Whether each worker gets a GPU; with `auto`, if the cluster has one for each."""
    if workers.use_gpu != "auto":
        return workers.use_gpu
    return ray.cluster_resources().get("GPU", 0) >= workers.lanes * workers.num_workers


def largest_node(use_gpu: bool) -> int:
    """Most CPUs of a node that may work now, with a GPU where one is needed: no worker can have more. 0 if none may."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    return int(max((node.get("CPU", 0) for node in nodes if node.get("GPU", 0) or not use_gpu), default=0))
