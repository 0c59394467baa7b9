"""Measures the members of a search's front again, from the files of the trained students.

    python benchmarks/latency_again.py latency-an4 --storage searches

Says of each member whether the trained file has the bytes that were promised, and whether its latency is within the
spread that was measured before its trial. Below: who is on the front of the same trials by MACs, and who is not.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from tempfile import TemporaryDirectory

from raysearch.deploy.export import export_trial
from raysearch.exported.latency import file_latency
from raysearch.exported.onnx_file import onnx_name
from raysearch.front.front import Front
from raysearch.front.objective import axes
from raysearch.front.trials import TrialRecord
from raysearch.search.reading import read_document
from raysearch.storage.folder import SearchFolder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name")
    parser.add_argument("--storage")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
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
