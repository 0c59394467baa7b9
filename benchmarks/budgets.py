"""What a budget was said to pay for, and what the search then took, on simulated lanes and a simulated clock.

    python benchmarks/budgets.py --seeds 20 [--json]

The plan of trials is right, or wrong by a factor: then it says that trials take a third, or three times, of what they
take. Beside that it knows nothing of what is drawn for a trial. Searches are replayed on recorded and synthetic tables,
a new synthetic one for each seed, with a budget of as many hours as 24 mean trials take.
"""

from __future__ import annotations

import argparse
import json
import statistics
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.search.timing.budget import Budget
from raysearch.search.timing.deadlines import Deadlines
from raysearch.search.timing.foresight import Foresight
from raysearch.simulation.made_up import synthetic_table
from raysearch.simulation.recorded import Table, read_table
from raysearch.simulation.simulation import Clock, searcher_on, simulate
from raysearch.spec.budget import BudgetSettings, Held
from raysearch.spec.document import Spec
from raysearch.spec.space import Config

RECORDED = Path(__file__).parent / "tables"
TRIALS, LANES = 24, 2
PLANS = (1.0, 1 / 3, 3.0)
"""Seconds that the plan says, for each second that a trial takes."""
HEADS = ("plan", "promised", "to", "began", "complete", "cut off", "spent", "worst", "idle")


def lasts(table: Table, seed: int, config: Config) -> float:
    """Seconds of a whole trial."""
    row = table.row(config, seed)
    return row.points[-1].seconds if row.diverged_s is None else row.diverged_s


def deadlines(spec: Spec, *, settings: BudgetSettings, clock: Clock, planned: Callable[[Config], float]) -> Deadlines:
    held = Held(cpus=spec.workers.lanes, gpus=0)
    budget = Budget(settings, held, before={}, began_s=0.0, clock=clock)
    return Deadlines(spec, budget, Foresight(spec, planned, trusted=True))


def search(table: Table, seed: int, plan: float) -> dict[str, float]:
    """One search: trials promised, begun and complete, and the share of its budget that it took."""
    rng = np.random.default_rng(seed)
    drawn = [table.spec.search_space.draw(rng) for _ in range(200)]
    whole = partial(lasts, table, seed)
    mean_s = float(np.mean([whole(config) for config in drawn]))
    settings, clock = BudgetSettings(cpu_hours=TRIALS * mean_s / 3600), Clock()
    made: list[Deadlines] = []

    def make(spec: Spec) -> Deadlines:
        made.append(deadlines(spec, settings=settings, clock=clock, planned=lambda config: plan * whole(config)))
        return made[0]

    driver = searcher_on(table, "ehvi", "fifo", LANES, seed, deadlines=make)
    words = made[0].promise().partition(": about ")[2].replace(",", "").split()
    ended = simulate(table, driver, workers=LANES, seed=seed, clock=clock)
    running = sum(record.state == "running" for record in driver.study.records())
    limit_s = 3600 * settings.amount / LANES
    return {
        "promised": int(words[0]),
        "promised_most": int(words[2]),
        "began": len(ended),
        "complete": sum(trial.state == "complete" for trial in ended),
        "cut": running,
        "spent": max(trial.time_s for trial in ended) / limit_s,
        "idle": 1 - sum(trial.seconds for trial in ended) / (LANES * limit_s),
    }


def measure(seeds: int) -> Iterator[dict[str, Any]]:
    """One row for each table and plan: medians over the seeds."""
    recorded = {path.name.partition(".")[0]: read_table(path) for path in sorted(RECORDED.glob("*.jsonl.gz"))}
    for name, plan in product((*recorded, "synthetic"), PLANS):
        found = [search(recorded.get(name) or synthetic_table(seed), seed, plan) for seed in range(seeds)]
        median = {key: statistics.median(one[key] for one in found) for key in found[0]}
        yield {"table": name, "plan": plan, **median, "worst": max(one["spent"] for one in found)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    rows = measure(asked.seeds)
    if asked.json:
        print(json.dumps({"seeds": asked.seeds, "rows": list(rows)}, indent=2))
        return
    print(f"{'table':12}" + "".join(f"{head:>9}" for head in HEADS))
    for row in rows:
        print(
            f"{row['table']:12}{row['plan']:9.2f}{row['promised']:9.0f}{row['promised_most']:9.0f}{row['began']:9.1f}{row['complete']:9.1f}"
            f"{row['cut']:9.1f}{row['spent']:9.1%}{row['worst']:9.1%}{row['idle']:9.1%}",
            flush=True,
        )


if __name__ == "__main__":
    main()
