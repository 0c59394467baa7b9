"""The verb `simulate`: replays whole searches on a table, one for each seed."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

from raysearch.errors import InputError, quoted
from raysearch.simulation.made_up import synthetic_table
from raysearch.simulation.recorded import Table, read_table
from raysearch.simulation.simulation import front_of, history, searcher_on, simulate
from raysearch.spec.budget import ENDLESS
from raysearch.spec.document import SearchSettings


def load_table(name: str) -> Table:
    """The table in a file, or the made-up table that `synthetic:SEED` names.

    Raises: InputError if the name is neither.
    """
    kind, _, seed = name.partition(":")
    if kind != "synthetic":
        return read_table(Path(name))
    if not seed.isdigit():
        raise InputError(f"{name}: {quoted(seed)}; expected synthetic:SEED with a number, e.g. synthetic:0")
    return synthetic_table(int(seed))


def replay(
    table: Table,
    sampler: str,
    scheduler: str,
    *,
    workers: int,
    trials: int | None,
    budget_s: float | None,
    seeds: int,
) -> list[dict[str, Any]]:
    """The front, hypervolume and its history for each seed, as `simulate --json` prints them.

    `budget_s` ends a search when all workers together have spent so many seconds. Hypervolumes are in ln cost.
    Raises: InputError for an unknown sampler or scheduler.
    """
    for key, value in (("sampler", sampler), ("scheduler", scheduler)):
        known = get_args(SearchSettings.model_fields[key].annotation)
        if value not in known:
            raise InputError(f"--{key}: {quoted(value)}; expected one of {', '.join(known)}")
    found = []
    for seed in range(seeds):
        driver = searcher_on(table, sampler, scheduler, workers, seed, trials or ENDLESS)
        budget = math.inf if budget_s is None else budget_s
        ended = simulate(table, driver, workers=workers, seed=seed, budget_s=budget)
        steps = history(ended, workers, table.reference_point)
        states = [trial.state for trial in ended]
        found.append(
            {
                "seed": seed,
                "trials": {state: states.count(state) for state in dict.fromkeys(states)},
                "worker_seconds": round(sum(trial.seconds for trial in ended), 1),
                "front": front_of((t.macs_g, t.error) for t in ended if t.state == "complete"),
                "hypervolume": steps[-1][1] if steps else 0.0,
                "history": steps,
            }
        )
    return found
