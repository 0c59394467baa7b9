"""The bench on Ray: what it measures runs on the node with the device's resource, and is kept in the store."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from raysearch.errors import InputError
from raysearch.exported.device import DeviceSettings
from raysearch.methods.settings import StudentSettings
from raysearch.targets.store import Store
from raysearch.tasks.head import CtcHeadConfig

HEAD = CtcHeadConfig(unit="phones", symbols=["AA", "B"], layers=1, width=1)
PHONE = DeviceSettings(resource="phone", seconds=1.0, repeats=3)


def student(width: int) -> Any:
    return StudentSettings(depth=1, width=width, heads=2, channels=16, position_kernel=5).encoder()


@pytest.fixture
def phone() -> Iterator[Any]:
    """A Ray of which one node has a phone. No CPU is left for whoever asks for one."""
    import ray

    ray.init(num_cpus=0, resources={"phone": 1}, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.mark.ray
def test_shapes_are_measured_once_on_the_node_with_the_resource(phone: Any, tmp_path: Path) -> None:
    from raysearch.lanes.bench import RayBench

    said: list[str] = []
    store = Store(tmp_path)
    bench = RayBench(store, HEAD, PHONE, said.append)
    first = bench.measure(student(16), "fp32")
    assert phone.available_resources().get("phone", 0) == 0
    assert 0 < first.low_ms <= first.latency_ms <= first.high_ms
    # A time that is measured twice is never twice the same.
    assert bench.measure(student(16), "fp32") == first
    (digest,) = store.shapes.ls()
    kept = json.loads((store.shapes.folder / digest / "charge.json").read_text())
    assert kept["where"]["resource"] == "phone"
    assert "processor" not in kept["where"]
    assert kept["node"] == phone.nodes()[0]["NodeID"]
    assert [(encoder, precision) for encoder, precision, _ in bench.known()] == [(student(16), "fp32")]
    sizes = RayBench(store, HEAD, None, said.append)
    assert list(sizes.known()) == []
    assert sizes.measure(student(16), "fp32").size_mb == first.size_mb
    short = student(16).model_copy(update={"position_conv": None, "sinusoids": 20})
    with pytest.raises(InputError, match=r"device\.seconds: 1; expected at most 0\.\d+, for which the student has"):
        bench.measure(short, "fp32")
