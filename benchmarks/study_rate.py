"""Measures how long a study takes to be written and read as trials pile up: a journal file beside PostgreSQL.

    python benchmarks/study_rate.py [--trials 1000] [--json]

Each trial is written as in a search: its suggestion (drawn at random), its cost, two rungs and its end. `write_ms` are
the milliseconds of a trial when there are that many. `open_ms` are those of the first look of a new process, such as
`raysearch status`. Time is wall-clock time, since a database answers from another process. As in use, PostgreSQL waits
for its disk, and the journal for an fsync after each write.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from raysearch.front.trials import Cost
from raysearch.search.sampler import make_sampler
from raysearch.search.study import Study
from raysearch.spec.loading import parse_spec

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.search.made_up import DOCUMENT
from tests.throwaway_postgres import throwaway_postgres

STEPS = (10, 100, 300, 1000, 3000, 10_000)
"""Numbers of trials at which times are taken."""


def measure(storage: str, trials: int) -> list[dict[str, float]]:
    """The times at each of `STEPS`, up to so many trials."""
    spec = parse_spec(DOCUMENT, where="made up")
    study = Study.create(storage, "rate", spec.objectives, {})
    rows, since, began_s = [], 0, time.perf_counter()
    for count in range(1, trials + 1):
        number, _ = study.ask(spec.search_space, make_sampler("random", 0, count))
        study.set_cost(number, Cost(macs_g=1.0, params_m=1.0))
        for updates in (50, 100):
            study.report(number, updates, {"eval/per": 50.0, "cost/seconds": 1.0})
        study.end(number, "complete")
        if count in STEPS:
            write_ms = 1000 * (time.perf_counter() - began_s) / (count - since)
            opened_s = time.perf_counter()
            assert len(Study.open(storage, "rate").records()) == count
            rows.append({"trials": count, "write_ms": write_ms, "open_ms": 1000 * (time.perf_counter() - opened_s)})
            since, began_s = count, time.perf_counter()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, throwaway_postgres(durable=True) as url:
        found = {
            "journal": measure(str(Path(folder, "study.journal")), arguments.trials),
            "postgresql": measure(url, arguments.trials),
        }
    if arguments.json:
        print(json.dumps(found, indent=2))
        return
    for kind, rows in found.items():
        for row in rows:
            print(f"{kind:12}{row['trials']:7} trials  write {row['write_ms']:8.1f} ms  open {row['open_ms']:8.1f} ms")


if __name__ == "__main__":
    main()
