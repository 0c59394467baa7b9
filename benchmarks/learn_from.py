"""Measures what past searches are worth to a search: related ones, unrelated ones, and one that says the opposite.

    python benchmarks/learn_from.py --seeds 20 [--workers 1] [--trials 15] [--rows FILE] [--json]

The same searches are replayed without a past, and with each of three, on synthetic tables, a new one for each seed, and
on a recorded one. On a synthetic table the related past is a search of 30 trials on a table by nearly the same laws,
and the unrelated one on a table by other laws. On the recorded table they are the records of real searches: the related
one has searched more methods and other ranges with seven times the updates, the unrelated one judged speakers. The
hostile past is a related one whose errors are turned upside down: the best configuration is said to be the worst.

Time is summed over workers and counted in trials, of which one is what a mean random configuration takes in full. It is
the time to the hypervolume with which 60 random trials end. Hypervolumes are shares of the best that is known of the
table. Rows in FILE are not measured again.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from search_efficiency import TRIALS, best_known, unit_s

from raysearch.front.document import document
from raysearch.front.record import Record, read_record
from raysearch.search.memory.memory import Memory
from raysearch.search.memory.pasts import Past
from raysearch.simulation.made_up import synthetic_table
from raysearch.simulation.recorded import Table, read_table
from raysearch.simulation.simulation import history, searcher_on, simulate, time_to

ROOT = Path(__file__).parent.parent
RECORDED = ROOT / "benchmarks" / "tables" / "an4-short.jsonl.gz"
OWN, RELATED, UNRELATED = (ROOT / "results" / f"{name}.json.gz" for name in ("an4-short", "all-an4", "all-sv"))
"""The record that the table is made of, and those of two other searches."""
PAST_TRIALS = 30
"""Trials of a past."""
WIDTHS = (7, 15, 9, 9, 7, 18, 9, 7)
"""Characters of the columns."""
CASES = ("none", "related", "unrelated", "hostile")


def past_of(table: Table, seed: int, name: str) -> Past:
    """A past search on a table."""
    driver = searcher_on(table, "ehvi", "pareto-asha", 1, seed, PAST_TRIALS)
    simulate(table, driver, workers=1, seed=seed)
    spec = table.spec.model_dump(mode="json", by_alias=True, exclude_none=True)
    found = document(name, table.spec.objectives, driver.study.records(), table.reference_point)
    return Past.of(Record(document=found, spec=spec, spec_hash="", seed=seed, versions={}, git_commit=None), name)


def upside_down(past: Past) -> Past:
    """The past with the errors of its best trials at its worst ones."""
    errors = [one.error for one in past.tried if one.error is not None]
    both = min(errors) * max(errors)
    return replace(past, tried=[replace(one, error=one.error and both / one.error) for one in past.tried])


def some(past: Past, seed: int) -> Past:
    """The past with a few of its trials."""
    drawn = np.random.default_rng(seed).choice(len(past.tried), PAST_TRIALS, replace=False)
    return replace(past, tried=[past.tried[place] for place in drawn])


def past(name: str, case: str, seed: int) -> Past:
    """The past of a case, for the table of this name."""
    if name == "an4-short":
        if case == "hostile":
            return upside_down(some(Past.of(read_record(OWN), case), seed))
        return Past.of(read_record(RELATED if case == "related" else UNRELATED), case)
    if case == "unrelated":
        return past_of(synthetic_table(seed + 1000), seed + 77, case)
    return upside_down(related(seed)) if case == "hostile" else related(seed)


@cache
def related(seed: int) -> Past:
    """The related past of a synthetic table."""
    return past_of(synthetic_table(seed).drifted(seed + 500), seed + 77, "related")


def measure(name: str, seed: int, workers: int, trials: int, cases: list[str]) -> Iterator[dict[str, Any]]:
    """One row for each case."""
    table: Table = synthetic_table(seed) if name == "synthetic" else read_table(RECORDED)
    unit, best = unit_s(table), best_known(table)
    random = searcher_on(table, "random", "fifo", workers, seed)
    ended = simulate(table, random, workers=workers, seed=seed, budget_s=TRIALS * unit)
    wanted = history(ended, workers, table.reference_point)[-1][1]
    for case in cases:
        memory = None if case == "none" else Memory(table.spec, [past(name, case, seed)])
        driver = searcher_on(table, "ehvi", "pareto-asha", workers, seed, memory=memory)
        ended = simulate(table, driver, workers=workers, seed=seed, budget_s=trials * unit)
        path = history(ended, workers, table.reference_point)
        yield {
            "table": name,
            "seed": seed,
            "workers": workers,
            "trials": trials,
            "case": case,
            # A search that does not get there is said to need the whole budget, which is in its favour.
            "time": min(time_to(path, wanted) / unit, float(trials)),
            "halfway": _reached(path, trials * unit / 2) / best,
            "end": _reached(path, math.inf) / best,
            "tau": memory.taus[0] if memory else None,
        }


def _reached(path: list[tuple[float, float]], until_s: float) -> float:
    return max((volume for spent_s, volume in path if spent_s <= until_s), default=0.0)


def measured(tables: list[str], seeds: int, workers: int, trials: int, kept: Path | None) -> list[dict[str, Any]]:
    """The rows of all tables and seeds, of which those that are kept already are not measured again."""
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    asked = {"workers": workers, "trials": trials}
    rows = [row for row in rows if row["table"] in tables and row["seed"] < seeds and asked.items() <= row.items()]
    for seed in range(seeds):
        for name in tables:
            known = {row["case"] for row in rows if (row["table"], row["seed"]) == (name, seed)}
            for row in measure(name, seed, workers, trials, [case for case in CASES if case not in known]):
                rows.append(row)
                if kept:
                    with kept.open("a") as file:
                        file.write(json.dumps(row) + "\n")
    return rows


def summary(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """For each table and case medians and quartiles, and the medians as shares of those without a past."""
    for table in dict.fromkeys(row["table"] for row in rows):
        alone: dict[str, float] = {}
        for case in CASES:
            own = [row for row in rows if (row["table"], row["case"]) == (table, case)]
            medians = {key: statistics.median(row[key] for row in own) for key in ("time", "halfway", "end")}
            alone = alone or medians
            yield {
                "table": table,
                "case": case,
                "seeds": len(own),
                **medians,
                "times": [float(q) for q in np.quantile([row["time"] for row in own], [0.25, 0.75])],
                "ends": [float(q) for q in np.quantile([row["end"] for row in own], [0.25, 0.75])],
                "of_time": medians["time"] / alone["time"],
                "of_end": medians["end"] / alone["end"],
                "tau": None if case == "none" else statistics.median(row["tau"] for row in own),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--trials", type=int, default=15, help="budget of a search, in mean random trials")
    parser.add_argument("--tables", nargs="+", choices=("synthetic", "an4-short"), default=["synthetic", "an4-short"])
    parser.add_argument("--rows", type=Path, help="file in which rows are kept as they are measured")
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    found = list(summary(measured(asked.tables, asked.seeds, asked.workers, asked.trials, asked.rows)))
    if asked.json:
        print(json.dumps({"workers": asked.workers, "trials": asked.trials, "rows": found}, indent=2))
        return
    print(f"{asked.seeds} seeds, {asked.workers} workers, {asked.trials} trials' worth of seconds; medians [quartiles]")
    heads = ("time", "", "of none", "halfway", "end", "", "of none", "tau")
    print(f"{'table':10}{'past':10}" + "".join(f"{head:>{width}}" for head, width in zip(heads, WIDTHS, strict=True)))
    for row in found:
        (low, high), (below, above) = row["times"], row["ends"]
        tau = "" if row["tau"] is None else f"{row['tau']:.2f}"
        shown = (f"{row['time']:.1f}", f"[{low:.1f} - {high:.1f}]", f"{row['of_time']:.2f}", f"{row['halfway']:.3f}")
        shown += (f"{row['end']:.3f}", f"[{below:.3f} - {above:.3f}]", f"{row['of_end']:.2f}", tau)
        cells = "".join(f"{cell:>{width}}" for cell, width in zip(shown, WIDTHS, strict=True))
        print(f"{row['table']:10}{row['case']:10}{cells}")


if __name__ == "__main__":
    main()
