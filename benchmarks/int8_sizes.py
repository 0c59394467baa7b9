"""What files of 8 bits lose, and what they are worth at equal megabytes and at equal milliseconds, over seeds.

    python benchmarks/int8_sizes.py [results/size-int8-*.json.gz] [--times FILE] [--split test] [--json]

The records are of one space and of several seeds. Each file of 8 bits stands beside the fp32 file of the same student,
beside the smallest fp32 file that is at least as large, and beside the line between the two fp32 files around its size.
A difference has its 95 % interval by pairs of cuts in each seed, and the mean over seeds has one by Student's t. Sizes
are those that the searches promised.

With `--times` the same is said of milliseconds. FILE keeps them. If it is not there, each file is written for an
untrained student and timed, twice, on the device of the document and on a core that this process is pinned to. Run it
where nothing else wants that core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np

from raysearch.corpora.readers.table import read_corpus
from raysearch.deploy.runtime.transcribe import SAMPLE_RATE_HZ
from raysearch.evidence.kept import LEAST, resampled_together
from raysearch.evidence.resampling import ends
from raysearch.exported.device import DeviceSettings
from raysearch.exported.latency import file_latency
from raysearch.exported.onnx_file import graph_of, layout, write_onnx
from raysearch.exported.settings import DeploySettings
from raysearch.exported.untrained import untrained
from raysearch.front.objective import axes, value
from raysearch.front.record import Record, read_record
from raysearch.front.seeds.means import MeanOverSeeds
from raysearch.front.trials import TrialRecord
from raysearch.spec.loading import parse_spec
from raysearch.tasks.table import load_task
from raysearch.teachers.shape import known_shape

ROOT = Path(__file__).parent.parent
ROUNDS = 2
"""How often each file is timed."""


class File(NamedTuple):
    """What a trial's student is shipped as: whose student it is, and in which bits."""

    student: str
    """All settings of the configuration but those of the shipping."""
    precision: str
    aware: float
    """Share of the updates in which the student was trained for the bits."""

    @property
    def charged(self) -> tuple[str, str]:
        """What its bytes and its milliseconds depend on."""
        return self.student, self.precision

    @property
    def text(self) -> str:
        return f"{self.student}, {self.precision}" + (f", aware {self.aware:g}" if self.aware else "")


Trials = dict[File, TrialRecord]
"""The trials of one seed."""
Mix = Sequence[tuple[TrialRecord, float]]
"""Trials with their weights, which sum to 1."""


def trials_of(record: Record) -> Trials:
    """The complete trials of a record by their files."""
    found = {}
    for trial in record.document.trials:
        if trial.state == "complete" and trial.repeats is None:
            own = {key.removeprefix("deploy."): value for key, value in trial.config.items() if "deploy." in key}
            deploy = DeploySettings.checked({**record.spec.get("deploy", {}), **own})
            student = ", ".join(
                f"{key.rpartition('.')[2]} {setting}"
                for key, setting in sorted(trial.config.items())
                if "deploy." not in key and key != "method"
            )
            found[File(student, deploy.precision, deploy.aware)] = trial
    return found


def difference(one: TrialRecord, others: Mix, split: str, error: str) -> tuple[float, float, float]:
    """The error of a trial minus the weighted mean of others on the same cuts, with the ends of its interval."""
    trials, weights_K = [one, *(other for other, _ in others)], np.array([1.0, *(-weight for _, weight in others)])
    judged = [trial.evidence[f"{split}/{error}"] for trial in trials]
    assert len({each.basis for each in judged}) == 1, "trials that were judged on other cuts"
    assert judged[0].basis.units >= LEAST
    found_R = resampled_together(judged[0].basis, tuple(each.found for each in judged)) @ weights_K
    low, high = ends(found_R)
    return float(weights_K @ [value(trial, error, split) for trial in trials]), float(low), float(high)


def compared(
    seeds: Sequence[Trials], one: File, others: Sequence[tuple[File, float]], split: str, error: str
) -> dict[str, Any]:
    """The difference of a file from a mean of others in each seed that has all, and its mean."""
    having = [trials for trials in seeds if {one, *(other for other, _ in others)} <= set(trials)]
    each = [
        difference(trials[one], [(trials[other], weight) for other, weight in others], split, error)
        for trials in having
    ]
    mean = MeanOverSeeds.of([found[0] for found in each])
    text = " + ".join(other.text if weight == 1 else f"{weight:.2f} x {other.text}" for other, weight in others)
    return {"file": one.text, "beside": text, "seeds": each, "mean": mean.mean, "half": mean.half}


def at_least(one: File, charged: Mapping[tuple[str, str], float]) -> list[tuple[File, float]]:
    """The fp32 file that is charged least of those that are charged as much as this one or more."""
    dearer = [(cost, which) for which, cost in charged.items() if which[1] == "fp32" and cost >= charged[one.charged]]
    return [(File(min(dearer)[1][0], "fp32", 0.0), 1.0)] if dearer else []


def on_the_line(one: File, charged: Mapping[tuple[str, str], float]) -> list[tuple[File, float]]:
    """The two fp32 files around what this one is charged, weighted so that their mean is charged the same."""
    own = charged[one.charged]
    below = max(((cost, which) for which, cost in charged.items() if which[1] == "fp32" and cost < own), default=None)
    above = min(((cost, which) for which, cost in charged.items() if which[1] == "fp32" and cost >= own), default=None)
    if below is None or above is None:
        return []
    weight = (own - below[0]) / (above[0] - below[0])
    return [(File(below[1][0], "fp32", 0.0), 1 - weight), (File(above[1][0], "fp32", 0.0), weight)]


def sizes(seeds: Sequence[Trials]) -> dict[tuple[str, str], float]:
    """MB of each file. A search that did not ask for them has the sizes of the others."""
    found: dict[tuple[str, str], float] = {}
    for trials in seeds:
        for file, trial in trials.items():
            if trial.cost.size_mb is not None:
                assert found.setdefault(file.charged, trial.cost.size_mb) == trial.cost.size_mb, file.text
    return found


def times(record: Record, files: Mapping[tuple[str, str], TrialRecord]) -> list[dict[str, Any]]:
    """Milliseconds of each file in every round."""
    spec = parse_spec(record.spec, where="the record")
    device, teacher = spec.device or DeviceSettings(), known_shape(spec.teacher)
    assert teacher is not None, "the teacher's shape must be known from the document"
    noise_S = np.random.default_rng(0).standard_normal(2 * SAMPLE_RATE_HZ).astype(np.float32)
    rows, contents, graphs = [], {}, {}
    with TemporaryDirectory() as folder:
        head = load_task(spec.tasks[0]).new_head(read_corpus(spec.corpus, Path(folder)), teacher).config
        for (student, precision), trial in files.items():
            if student not in graphs:
                drawn = untrained(spec.student_config(trial.config, teacher), head)
                graphs[student] = graph_of(drawn), layout(drawn)
            file = Path(folder, "model.onnx")
            write_onnx(*graphs[student], precision, file, lambda: [noise_S])
            contents[student, precision] = file.read_bytes()
    for turn in range(ROUNDS):
        for (student, precision), content in contents.items():
            found = file_latency(content, device.load, device.repeats, pinned=True)
            row = {"student": student, "precision": precision, "round": turn, "mb": len(content) / 1e6}
            row |= {"ms": found.median_ms, "low_ms": found.p5_ms, "high_ms": found.p95_ms, "disturbed": found.disturbed}
            rows.append(row)
            print(json.dumps(row), flush=True)
    return rows


def medians(rows: Sequence[Mapping[str, Any]]) -> dict[tuple[str, str], float]:
    """Milliseconds of each file: the mean of its rounds."""
    found: dict[tuple[str, str], list[float]] = {}
    for row in rows:
        found.setdefault((row["student"], row["precision"]), []).append(row["ms"])
    return {which: sum(each) / len(each) for which, each in found.items()}


def report(seeds: Sequence[Trials], charges: Mapping[str, Mapping], split: str, error: str) -> Iterator[dict[str, Any]]:
    """One row for each file: beside its own student in fp32, and beside an fp32 file that is charged the same."""
    files = list(dict.fromkeys(file for trials in seeds for file in trials))
    for file in files:
        errors = [value(trials[file], error, split) for trials in seeds if file in trials]
        own = File(file.student, "fp32", 0.0)
        row = {"file": file.text, "errors": errors}
        row |= {name: of.get(file.charged) for name, of in charges.items()}
        if file.precision != "fp32":
            row["own"] = compared(seeds, file, [(own, 1.0)], split, error)
            for name, of in charges.items():
                for key, which in (
                    (f"at equal {name} or more", at_least),
                    (f"at equal {name}, on the line", on_the_line),
                ):
                    others = which(file, of) if file.charged in of else []
                    row[key] = compared(seeds, file, others, split, error) if others else None
        yield row


def table(rows: Sequence[Mapping[str, Any]], charges: Sequence[str]) -> Iterator[str]:
    """The rows in markdown."""
    yield f"| file | {' | '.join(charges)} | error % by seed |\n|---|{'--:|' * len(charges)}---|"
    for row in rows:
        numbers = " | ".join("" if row[name] is None else f"{row[name]:.2f}" for name in charges)
        yield f"| {row['file']} | {numbers} | {', '.join(f'{error:.2f}' for error in row['errors'])} |"
    for key in dict.fromkeys(key for row in rows for key in row if key == "own" or key.startswith("at equal")):
        yield f"\n{key}\n\n| file | beside | difference by seed, in points | mean over seeds |\n|---|---|---|---|"
        for found in (row[key] for row in rows if row.get(key)):
            seeds = "; ".join(f"{one:+.2f} ({low:+.2f} to {high:+.2f})" for one, low, high in found["seeds"])
            half = f" +- {found['half']:.2f}" if len(found["seeds"]) > 1 else ""
            yield f"| {found['file']} | {found['beside']} | {seeds} | {found['mean']:+.2f}{half} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("records", nargs="*", type=Path, default=sorted(ROOT.glob("results/size-int8-*.json.gz")))
    parser.add_argument("--times", type=Path)
    parser.add_argument("--split", choices=["dev", "test"], default="dev")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    records = [read_record(path) for path in given.records]
    seeds = [trials_of(record) for record in records]
    charges: dict[str, dict] = {"MB": sizes(seeds)}
    if given.times:
        if not given.times.exists():
            own = {file.charged: trial for trials in seeds for file, trial in trials.items()}
            given.times.write_text(json.dumps(times(records[0], own), indent=1))
        charges["ms"] = medians(json.loads(given.times.read_text()))
    error = axes(records[0].document.objectives)[1]
    rows = list(report(seeds, charges, {"dev": "eval"}.get(given.split, given.split), error))
    print(json.dumps(rows) if given.json else "\n".join(table(rows, list(charges))))


if __name__ == "__main__":
    main()
