"""Latency of shapes by the model and by the clock, and what a second run says of the same shapes.

    python benchmarks/latency_model.py search_spaces/latency-an4.yaml --shapes 30

Shapes are drawn from the document's space. Each is foreseen by a model that was fitted on all before it, and then
measured. Needs the corpus for the head's symbols; no teacher is trained. With `--again` all are measured once more.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from raysearch.corpora.readers.table import read_corpus
from raysearch.encoder.config import AnyConfig
from raysearch.exported.device import Charge, DeviceSettings
from raysearch.exported.latency import file_latency
from raysearch.exported.settings import Precision
from raysearch.exported.untrained import untrained_file
from raysearch.files.digest import content_digest
from raysearch.search.charging.charges import Charges
from raysearch.search.charging.model import median_error
from raysearch.search.costs import Costs
from raysearch.spec.loading import load_spec
from raysearch.tasks.table import load_task
from raysearch.teachers.shape import known_shape


class LocalBench:
    """A bench without Ray, in this process, pinned to one core. Files are kept, so that they can be measured again."""

    def __init__(self, folder: Path, head: object, device: DeviceSettings) -> None:
        self._folder, self._head, self._device = folder, head, device
        self.files: dict[str, Path] = {}

    def known(self) -> list[tuple[AnyConfig, Precision, Charge]]:
        return []

    def measure(self, student: AnyConfig, precision: Precision) -> Charge:
        file = self._folder / f"{content_digest(student.model_dump_json())}.{precision}.onnx"
        if not file.exists():
            file.write_bytes(untrained_file(student, self._head, precision))
        self.files[student.model_dump_json()] = file
        return self.timed(file)

    def timed(self, file: Path) -> Charge:
        content = file.read_bytes()
        found = file_latency(content, self._device.load, self._device.repeats, pinned=True)
        return Charge(len(content) / 1e6, found.median_ms, found.p5_ms, found.p95_ms)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("spec", type=Path)
    parser.add_argument("--shapes", type=int, default=30)
    parser.add_argument("--fitted", type=int, default=9, help="Shapes that are measured before the model is asked.")
    parser.add_argument("--again", action="store_true")
    parser.add_argument("--store", type=Path, default=Path("searches/latency-model"))
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    given.store.mkdir(parents=True, exist_ok=True)
    spec = load_spec(given.spec)
    device = spec.measured_on or DeviceSettings()
    teacher = known_shape(spec.teacher)
    assert teacher is not None, "the teacher's shape must be known from the document"
    corpus = read_corpus(spec.corpus, given.store)
    bench = LocalBench(given.store, load_task(spec.tasks[0]).new_head(corpus, teacher).config, device)
    charges = Charges(bench, device)
    costs, rng, rows = Costs(spec, teacher, charges), np.random.default_rng(7), []
    seen: set[str] = set()
    while len(rows) < given.shapes:
        config = spec.search_space.draw(rng)
        student = spec.student_config(config, teacher)
        if student.model_dump_json() in seen:
            continue
        seen.add(student.model_dump_json())
        before, began_s = costs(config), time.monotonic()
        cost = costs.measured(config)
        row = {
            "config": config,
            "macs_g": cost.macs_g,
            "size_mb": [before.size_mb, cost.size_mb],
            "latency_ms": [before.latency_ms, cost.latency_ms, cost.latency_low_ms, cost.latency_high_ms],
            "seconds": time.monotonic() - began_s,
            "load": os.getloadavg()[0],
        }
        if given.again:
            row["again_ms"] = bench.timed(bench.files[student.model_dump_json()]).latency_ms
        rows.append(row)
        print(json.dumps(row), flush=True)
        if given.json:
            given.json.write_text(json.dumps(rows, indent=1))
    _report(rows, given.fitted)
    for name, trust in charges.trust().items():
        print(f"{name}: leave-one-out median error {trust.median_error:.1%} of {trust.shapes}")


def _report(rows: list[dict], fitted: int) -> None:
    late = rows[fitted:]
    for name in ("size_mb", "latency_ms"):
        foreseen, measured = [row[name][0] for row in late], [row[name][1] for row in late]
        rank = spearmanr(foreseen, measured).statistic
        print(
            f"{name}: {len(late)} shapes after {fitted}, rank correlation {rank:.3f}, median error "
            f"{median_error(foreseen, measured):.1%}"
        )
    measured, macs = [row["latency_ms"][1] for row in rows], [row["macs_g"] for row in rows]
    print(f"latency against MACs alone: rank correlation {spearmanr(macs, measured).statistic:.3f}")
    if "again_ms" in rows[0]:
        ratios = [row["again_ms"] / row["latency_ms"][1] for row in rows]
        inside = [row["latency_ms"][2] <= row["again_ms"] <= row["latency_ms"][3] for row in rows]
        print(
            f"again: ratio median {np.median(ratios):.3f}, 10th-90th {np.quantile(ratios, 0.1):.3f} - "
            f"{np.quantile(ratios, 0.9):.3f}; inside the spread {sum(inside)} of {len(inside)}"
        )


if __name__ == "__main__":
    main()
