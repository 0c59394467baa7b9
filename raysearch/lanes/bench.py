"""The bench: exports untrained students and measures their files, on a node that is like those which will run them.

What it finds lies in the store as JSON, by shape and device, so that each shape is exported and measured once.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ray
from ray.exceptions import RayError, RayTaskError

from raysearch.encoder.config import AnyConfig
from raysearch.encoder.document import as_config
from raysearch.errors import InputError, WorkError
from raysearch.exported.device import Charge, DeviceSettings
from raysearch.exported.latency import Latency, Load, file_latency
from raysearch.exported.settings import Precision
from raysearch.files.digest import document_digest
from raysearch.targets.store import Store

if TYPE_CHECKING:
    from raysearch.tasks.head import HeadConfig

FILE = "charge.json"
"""Name of the file in a shape's folder of the store."""
PACKAGES = ("raysearch", "torch", "onnx", "onnxscript", "onnxruntime")
"""Packages whose versions decide what a file contains, and how fast it runs."""
HEAD_NODE = {"node:__internal_head__": 0.001}
WAIT_S = 20.0
"""Seconds without a node that has the device's resource, after which it is said that one is waited for."""


class RayBench:
    """A bench on Ray: one actor beside the driver exports, and another one on the device runs the files.

    The second takes the device's resource. Without one it runs on the driver's node.
    """

    def __init__(
        self,
        store: Store,
        head: HeadConfig,
        device: DeviceSettings | None,
        say: Callable[[str], None],
        *,
        reserved: bool = False,
    ) -> None:
        """`head`: that of the task, for an encoder of any shape. `device`: None where only sizes are asked for.
        `reserved`: whether as many CPUs of the driver's node are kept from lanes as the device has threads.
        """
        self._store, self._head, self._device, self._say = store.shapes, head, device, say
        self._where = _where(device)
        self._writer = ray.remote(_Writer).options(num_cpus=0, resources=HEAD_NODE).remote()
        self._timer: Any = None
        if device is not None:
            place: dict[str, Any] = {"num_cpus": 0, "resources": {device.resource: 1}}
            if device.resource is None:
                place = {"num_cpus": device.threads if reserved else 0, "resources": HEAD_NODE}
            self._timer = ray.remote(_Timer).options(**place).remote()

    def known(self) -> Iterable[tuple[AnyConfig, Precision, Charge]]:
        """All that was measured so far on this device under this head, also by other searches."""
        head = self._head.model_dump(mode="json", exclude={"layers", "width"})
        for digest in self._store.ls():
            if folder := self._store.get(digest):
                found = json.loads((folder / FILE).read_text(encoding="utf-8"))
                if (found["where"], found["head"]) == (self._where, head):
                    encoder = as_config(found["encoder"], folder / FILE)
                    yield encoder, found["precision"], Charge(**found["charge"])

    def measure(self, student: AnyConfig, precision: Precision) -> Charge:
        """What the device charges for a student of this shape.

        Raises: InputError if it takes no recordings of the device's length; WorkError if it cannot be run there.
        """
        from raysearch.exported.untrained import shape_digest

        device = self._device
        if device is not None and device.seconds > student.longest_s:
            raise InputError(
                f"device.seconds: {device.seconds:g}; expected at most {student.longest_s:g}, for which the student "
                "has positions"
            )
        digest = document_digest([shape_digest(student, self._head, precision), self._where])
        folder = self._store.get_or_build(digest, partial(self._build, student, precision))
        return Charge(**json.loads((folder / FILE).read_text(encoding="utf-8"))["charge"])

    def _build(self, student: AnyConfig, precision: Precision, folder: Path) -> None:
        content: bytes = self._got(self._writer.write.remote(student, self._head, precision))
        charge, node = {"size_mb": len(content) / 1e6}, None
        if (device := self._device) is not None:
            timed = self._timer.time.remote(content, device.load, device.repeats, device.resource is None)
            latency: Latency
            latency, node = self._got(timed)
            assert latency.p5_ms is not None
            charge |= {"latency_ms": latency.median_ms, "low_ms": latency.p5_ms, "high_ms": latency.p95_ms}
            if latency.disturbed:
                self._say(
                    f"latency: {latency.median_ms:.3g} ms, though something else had the core for a moment in "
                    f"{latency.disturbed:.0%} of the runs"
                )
        found = {
            "where": self._where,
            "head": self._head.model_dump(mode="json", exclude={"layers", "width"}),
            "encoder": student.model_dump(mode="json"),
            "precision": precision,
            "charge": charge,
            "node": node,
        }
        (folder / FILE).write_text(json.dumps(found, indent=2), encoding="utf-8")

    def _got(self, work: Any) -> Any:
        ready, _ = ray.wait([work], timeout=WAIT_S)
        resource = self._device.resource if self._device else None
        if not ready and resource and not ray.cluster_resources().get(resource):
            self._say(f"latency: waiting for a node with the resource {resource}")
        try:
            return ray.get(work)
        except RayError as err:
            cause = err.cause if isinstance(err, RayTaskError) else None
            if isinstance(cause, InputError):
                raise InputError(str(cause)) from err
            raise WorkError(f"bench: {str(err).strip().splitlines()[-1]}") from err


class _Writer:
    """Exports. It keeps torch and the exporter loaded, which take as long to load as an export takes."""

    def write(self, student: AnyConfig, head: HeadConfig, precision: Precision) -> bytes:
        import torch

        from raysearch.exported.untrained import untrained_file

        torch.set_num_threads(1)
        return untrained_file(student, head, precision)


class _Timer:
    """Runs files on the device, which needs no torch."""

    def time(self, content: bytes, load: Load, repeats: int, pinned: bool) -> tuple[Latency, str]:
        """The latency, and the id of the node that it was measured on."""
        return file_latency(content, load, repeats, pinned=pinned), ray.get_runtime_context().get_node_id()


def _where(device: DeviceSettings | None) -> dict[str, Any]:
    """What tells devices apart: kind of node, load, and versions. The driver's machine is called by its processor."""
    versions = {name: importlib.metadata.version(name) for name in PACKAGES}
    if device is None:
        return {"versions": versions}
    own = {"processor": _processor()} if device.resource is None else {}
    return {"versions": versions, **device.model_dump(exclude={"repeats"}), **own}


def _processor() -> str:
    """Kind of processor of this machine, as far as the system tells, and how many cores it has."""
    told = Path("/proc/cpuinfo")
    lines = told.read_text(encoding="utf-8").splitlines() if told.exists() else []
    kinds = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{kinds[0] if kinds else 'unknown'} x {os.cpu_count()}"
