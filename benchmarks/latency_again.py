"""Measures the members of a search's front again, from the files of the trained students.

    python benchmarks/latency_again.py latency-an4 --storage searches
    python benchmarks/latency_again.py results/latency-short.json.gz --spec search_spaces/latency-an4.yaml

Says of each member whether the trained file has the bytes that were promised, and whether its latency is within the
spread that was measured before its trial. Below: who is on the front of the same trials by MACs, and who is not.

Of a record, which holds no students, all trials are measured again, from untrained students of their shapes. The
document says where the corpus is, which gives the head its symbols.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from scipy.stats import spearmanr

from raysearch.corpora.readers.table import read_corpus
from raysearch.deploy.export import export_trial
from raysearch.exported.latency import file_latency
from raysearch.exported.onnx_file import onnx_name
from raysearch.exported.untrained import untrained_file
from raysearch.front.front import Front
from raysearch.front.objective import axes
from raysearch.front.record import SUFFIX, read_record
from raysearch.front.trials import TrialRecord
from raysearch.search.reading import read_document
from raysearch.spec.loading import load_spec
from raysearch.storage.folder import SearchFolder
from raysearch.tasks.table import load_task
from raysearch.teachers.shape import known_shape


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--storage")
    parser.add_argument("--spec", type=Path)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    if given.name.endswith(SUFFIX):
        _shapes(Path(given.name), given.spec, given.json)
        return
    folder = SearchFolder.of(given.storage, given.name)
    document = read_document(folder)
    error = axes(document.objectives)[1]
    by_macs = Front.of(document.trials, ["macs", error]).members
    by_ms = Front.of(document.trials, ["latency", error]).members
    rows = [_again(folder, member) for member in sorted({*_numbers(by_macs), *_numbers(by_ms)})]
    for row in rows:
        row["fronts"] = [name for name, of in (("latency", by_ms), ("macs", by_macs)) if row["trial"] in _numbers(of)]
        print(json.dumps(row), flush=True)
    inside = sum(row["low_ms"] <= row["again_ms"] <= row["high_ms"] for row in rows)
    print(f"inside the spread: {inside} of {len(rows)}; bytes as promised: {sum(not row['bytes'] for row in rows)}")
    print(f"front by latency: {_numbers(by_ms)}; by MACs: {_numbers(by_macs)}")
    if given.json:
        given.json.write_text(json.dumps(rows, indent=1))


def _shapes(path: Path, document: Path, kept: Path | None) -> None:
    """Measures the shapes of a record's trials again."""
    record, spec = read_record(path), load_spec(document)
    device, teacher = spec.measured_on, known_shape(spec.teacher)
    assert device is not None, "the search measured no latency"
    assert teacher is not None, "the teacher's shape must be known from the document"
    rows = []
    with TemporaryDirectory() as store:
        head = load_task(spec.tasks[0]).new_head(read_corpus(spec.corpus, Path(store)), teacher).config
    for trial in record.document.trials:
        precision = spec.deploy_of(trial.config).precision
        content = untrained_file(spec.student_config(trial.config, teacher), head, precision)
        latency = file_latency(content, device.load, device.repeats, pinned=device.resource is None)
        low, high = trial.cost.spread
        first = trial.cost.of("latency")
        row = {"trial": trial.number, "latency_ms": first, "low_ms": low, "high_ms": high}
        row |= {"again_ms": latency.median_ms, "again_low_ms": latency.p5_ms, "again_high_ms": latency.p95_ms}
        row |= {"ratio": latency.median_ms / first, "disturbed": latency.disturbed}
        rows.append(row | {"bytes": len(content) - round(1e6 * trial.cost.of("size"))})
        print(json.dumps(rows[-1]), flush=True)
    ratios = [row["ratio"] for row in rows]
    rank = spearmanr([row["latency_ms"] for row in rows], [row["again_ms"] for row in rows]).statistic
    inside = sum(row["low_ms"] <= row["again_ms"] <= row["high_ms"] for row in rows)
    print(
        f"again / first: median {np.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}; rank correlation "
        f"{rank:.3f}; inside the spread: {inside} of {len(rows)}"
    )
    if kept:
        kept.write_text(json.dumps(rows, indent=1))


def _numbers(members: tuple[TrialRecord, ...]) -> list[int]:
    return [member.number for member in members]


def _again(folder: SearchFolder, number: int) -> dict:
    spec = folder.spec()
    device = spec.measured_on
    assert device is not None, "the search measured no latency"
    member = next(trial for trial in read_document(folder).trials if trial.number == number)
    precision = spec.deploy_of(member.config).precision
    with TemporaryDirectory() as out:
        export_trial(folder, number, Path(out), precisions=[precision])
        content = Path(out, onnx_name(precision)).read_bytes()
    latency = file_latency(content, device.load, device.repeats, pinned=device.resource is None)
    low, high = member.cost.spread
    return {
        "trial": number,
        "macs_g": round(member.cost.macs_g, 2),
        "error": {
            key: value for key, value in member.metrics.items() if key.startswith("eval/") and key.count("_") == 0
        },
        "latency_ms": member.cost.latency_ms,
        "low_ms": low,
        "high_ms": high,
        "again_ms": latency.median_ms,
        "disturbed": latency.disturbed,
        "bytes": len(content) - round(1e6 * (member.cost.size_mb or 0)),
    }


if __name__ == "__main__":
    main()
