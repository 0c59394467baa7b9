"""What is saved, and what is lost, by ending a search when the surrogate says that its front stands still.

    python benchmarks/standing_front.py --seeds 20 [--trials 60] [--json]

Searches of so many trials are replayed on recorded and on synthetic tables, a new synthetic one for each seed. The same
search is then cut where `search.stop` would have ended it: suggestions do not depend on that setting, so that the
trials before are the same. Hypervolumes are in ln cost times percent, and what is lost is a share of that of the whole
search.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

from raysearch.search.searcher import Searcher
from raysearch.simulation.made_up import synthetic_table
from raysearch.simulation.recorded import Table, read_table
from raysearch.simulation.simulation import front_of, ln_cost_hypervolume, searcher_on, simulate
from raysearch.spec.ending import StopSettings

RECORDED = Path(__file__).parent / "tables"
GAINS, SUGGESTIONS = (0.02, 0.01, 0.005, 0.002), (4, 8)
"""Settings of `search.stop` that are tried."""
HEADS = ("gain", "in a row", "trials", "saved", "ended", "lost", "mean", "worst")
OFF = StopSettings(gain=1e-12, suggestions=1_000)
"""Keeps the gains of a search and never ends it."""


def ended_at(gains: list[float | None], stop: StopSettings) -> int:
    """Number of trials after which a search with these gains ends."""
    for count in range(stop.suggestions, len(gains)):
        if all(gain is not None and gain < stop.gain for gain in gains[count - stop.suggestions : count]):
            return count
    return len(gains)


def search(table: Table, seed: int, trials: int) -> tuple[list[float | None], list[float]]:
    """The gain that each trial promised, and the hypervolume after each, with one worker."""
    driver: Searcher = searcher_on(table, "ehvi", "fifo", 1, seed, trials, stop=OFF)
    points: list[tuple[float, float]] = []
    volumes = []
    for trial in simulate(table, driver, workers=1, seed=seed):
        if trial.state == "complete":
            points = front_of([*points, (trial.macs_g, trial.error)])
        volumes.append(ln_cost_hypervolume(points, table.reference_point))
    return driver.study.gains(), volumes


def measure(seeds: int, trials: int) -> Iterator[dict[str, Any]]:
    """One row for each table and setting: medians over the seeds, and the worst loss."""
    recorded = {path.name.partition(".")[0]: read_table(path) for path in sorted(RECORDED.glob("*.jsonl.gz"))}
    for name in (*recorded, "synthetic"):
        runs = [search(recorded.get(name) or synthetic_table(seed), seed, trials) for seed in range(seeds)]
        for suggestions, gain in product(SUGGESTIONS, GAINS):
            stop = StopSettings(gain=gain, suggestions=suggestions)
            ends = [min(ended_at(gains, stop), len(volumes)) for gains, volumes in runs]
            lost = [1 - volumes[end - 1] / volumes[-1] for end, (_, volumes) in zip(ends, runs, strict=True)]
            yield {
                "table": name,
                "gain": gain,
                "suggestions": suggestions,
                "trials": statistics.median(ends),
                "saved": 1 - statistics.mean(ends) / trials,
                "ended": sum(end < trials for end in ends),
                "lost": statistics.median(lost),
                "lost_mean": statistics.mean(lost),
                "lost_worst": max(lost),
            }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = measure(asked.seeds, asked.trials)
    if asked.json:
        print(json.dumps({"trials": asked.trials, "seeds": asked.seeds, "rows": list(rows)}, indent=2))
        return
    print(f"{'table':12}" + "".join(f"{head:>9}" for head in HEADS))
    for row in rows:
        print(
            f"{row['table']:12}{row['gain']:9.1%}{row['suggestions']:9}{row['trials']:9.1f}{row['saved']:9.0%}"
            f"{row['ended']:9}{row['lost']:9.2%}{row['lost_mean']:9.2%}{row['lost_worst']:9.2%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
