"""A search whose latencies are measured by another node: a raylet of its own, which has the device's resource."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
import yaml
from ray.cluster_utils import Cluster
from tenacity import Retrying, stop_after_attempt

from raysearch.front.objective import value
from raysearch.search.reading import read_document
from raysearch.storage.folder import SearchFolder

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200)]

CHECKOUT = Path(__file__).parents[2]
DOCUMENT: dict[str, Any] = {
    "name": "phone",
    "corpus": {"kind": "synthetic", "speakers": {"train": 3, "dev": 2, "test": 2},
               "utterances": {"train": 40, "dev": 8, "test": 8}},
    "teacher": {"source": "train", "method": "ctc", "updates": 10, "batch_s": 20, "depth": 1, "width": 32, "heads": 2,
                "channels": 32},
    "task": {"kind": "phonemes", "updates": 10, "lrs": [0.1]},
    "method": "dicehubert",
    "student": {"front_end": "logmel-25hz", "width": 32, "heads": 2, "position_kernel": 15, "channels": 32},
    "targets": {"clusters": 10},
    "prediction": {"mask_prob": 0.0, "head": "linear"},
    "training": {"batch_s": 20, "dropout": 0.0},
    "space": {"student.depth": {"choice": [1, 2]}},
    "device": {"resource": "phone", "threads": 1, "seconds": 1, "repeats": 5},
    "objectives": ["latency", "per"],
    "search": {"sampler": "random", "trials": 2, "updates": 4, "scheduler": "fifo",
               "start": [{"student.depth": 1}, {"student.depth": 2}]},
    "workers": {"lanes": 1},
}  # fmt: skip


def patiently(start: Any) -> Any:
    """Ray gives a node half a minute to start, which on a machine that has other work is not always enough."""
    return Retrying(stop=stop_after_attempt(4), reraise=True)(start)


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A head with one CPU, for the lane."""
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(CHECKOUT), os.environ.get("PYTHONPATH", "")]))
    cluster = patiently(lambda: Cluster(True, head_node_args={"num_cpus": 1}))
    ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


@pytest.fixture
def phone(head: Cluster) -> Iterator[str]:
    """The id of a node that was started as the documentation says, and ends with its process."""
    ray_verb = [sys.executable, "-m", "ray.scripts.scripts", "start", "--address", head.address, "--block"]
    started = subprocess.Popen([*ray_verb, "--num-cpus", "0", "--resources", '{"phone": 1}'])
    try:
        end_s = time.monotonic() + 200
        while not (found := [node["NodeID"] for node in ray.nodes() if node["Resources"].get("phone")]):
            assert started.poll() is None, "the node ended"
            assert time.monotonic() < end_s, "no such node within 200 s"
            time.sleep(0.5)
        yield found[0]
    finally:
        started.terminate()
        started.wait(60)


def test_latency_is_measured_on_the_node_that_has_the_resource(head: Cluster, phone: str, tmp_path: Path) -> None:
    (tmp_path / "phone.yaml").write_text(yaml.safe_dump(DOCUMENT))
    words = ("search", str(tmp_path / "phone.yaml"), "--address", head.address, "--storage", str(tmp_path / "searches"))
    command = [sys.executable, "-m", "raysearch.cli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=1000, cwd=CHECKOUT)
    assert ended.returncode == 0, ended.stderr
    trials = read_document(SearchFolder(tmp_path / "searches", "phone")).trials
    assert [trial.state for trial in trials] == ["complete"] * 2
    kept = [json.loads(path.read_text()) for path in (tmp_path / "searches/_store/shapes").glob("*/charge.json")]
    print(json.dumps([{key: one[key] for key in ("node", "charge", "where")} for one in kept]))
    assert [one["node"] for one in kept] == [phone] * 2
    assert phone != ray.get_runtime_context().get_node_id()
    assert {one["where"]["resource"] for one in kept} == {"phone"}
    assert {value(trial, "latency") for trial in trials} == {one["charge"]["latency_ms"] for one in kept}
