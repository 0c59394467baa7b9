"""Measures how much sooner our searcher gets where random search ends, and how far it gets in equal time.

    python benchmarks/search_efficiency.py --seeds 20 [--workers 1 4 16 64] [--racers ours random ...]
                                           [--slow-seeds 2] [--slow-workers 4 16] [--rows FILE] [--json]

It replays synthetic tables, a new one for each seed, and every recorded table in `benchmarks/tables`. Our searcher
races with those of `racers.py`. Those that think for seconds before each trial get fewer seeds, and numbers of workers
of their own. Time is summed over workers and counted in trials: one trial is the seconds that a mean random
configuration takes in full. `final_hypervolume` is a share of the best that is known of the table.

Races in FILE are not run again, and are shown with the others. So racers whose packages clash can run one after the
other, each in its environment.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from racers import ALONE, DRIVERS, SLOW, missing
from scipy.stats import mannwhitneyu

from raysearch.lanes.source import Suggestion
from raysearch.search.costs import Costs
from raysearch.simulation.made_up import SyntheticTable, oracle_points, synthetic_table
from raysearch.simulation.recorded import RecordedTable, Table, read_table
from raysearch.simulation.simulation import Driver, history, ln_cost_hypervolume, searcher_on, simulate, time_to

TRIALS = 60
"""Budget of a search, in mean random trials."""
WORKERS = (1, 4, 16, 64)
FAST = ("ours", "random", "tpe", "nsga2")
RECORDED = Path(__file__).parent / "tables"


class Timed:
    """A driver that times the suggestions of another one."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.ask_s: list[float] = []
        self.observe, self.complete, self.fail = driver.observe, driver.complete, driver.fail

    def suggest(self) -> Suggestion | None:
        began_s = time.process_time()
        suggestion = self.driver.suggest()
        self.ask_s.append(time.process_time() - began_s)
        return suggestion


def unit_s(table: Table, draws: int = 200) -> float:
    """Seconds that a mean random configuration takes in full."""
    rng = np.random.default_rng(0)
    rows = [table.row(table.spec.search_space.draw(rng), 0) for _ in range(draws)]
    return statistics.mean(row.points[-1].seconds for row in rows if row.diverged_s is None)


def best_known(table: Table) -> float:
    """The ln-cost hypervolume of the best front that is known of the table."""
    if isinstance(table, SyntheticTable):
        points = list(oracle_points(table, draws=2000, rounds=20))
    else:
        assert isinstance(table, RecordedTable)
        points = [(table.costs(row.config).macs_g, row.truth) for row in table.rows if row.diverged_s is None]
    return ln_cost_hypervolume(points, table.reference_point)


@dataclass(frozen=True)
class Race:
    """Which race it is: one racer on one table."""

    table: str
    seed: int
    workers: int
    racer: str


def table_of(name: str, seed: int) -> Table:
    """The synthetic table of a seed, or a recorded one."""
    return synthetic_table(seed) if name == "synthetic" else read_table(RECORDED / f"{name}.jsonl.gz")


@cache
def scales(name: str, seed: int) -> tuple[float, float]:
    """Seconds of a mean random trial, and the best hypervolume that is known of the table."""
    table = table_of(name, seed if name == "synthetic" else 0)
    return unit_s(table), best_known(table)


def raced(race: Race) -> dict[str, Any]:
    """One race: the hypervolumes that it reached, as shares of the best, each with the trials that it took."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    table, (unit, best) = table_of(race.table, race.seed), scales(race.table, race.seed)
    driver = Timed(DRIVERS[race.racer](table, race.workers, race.seed))
    on = getattr(driver.driver, "table", table)
    ended = simulate(on, driver, workers=race.workers, seed=race.seed, budget_s=TRIALS * unit)
    path = history(ended, race.workers, table.reference_point)
    steps = [(spent_s / unit, volume / best) for spent_s, volume in path]
    grown = [step for at, step in enumerate(steps) if not at or step[1] > steps[at - 1][1]]
    # Near the end, where a model has most to learn from and is slowest.
    return {**asdict(race), "path": grown, "ask_s": statistics.median(driver.ask_s[TRIALS - 10 : TRIALS + 10] or [0.0])}


def run(races: list[Race], kept: Path | None, processes: int | None) -> list[dict[str, Any]]:
    """These races and all that are kept. Those that are kept already are not run again."""
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept and kept.exists() else []
    done = {Race(**{key: row[key] for key in Race.__annotations__}) for row in rows}
    # Fresh processes, since forked ones would share the threads of the linear algebra.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        for race in as_completed([pool.submit(raced, race) for race in races if race not in done]):
            rows.append(race.result())
            if kept:
                with kept.open("a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
    return rows


def figures(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """What is read from each race: the time to random's end of the same race, and the hypervolume on the way."""
    random = {(row["table"], row["seed"], row["workers"]): row["path"] for row in rows if row["racer"] == "random"}
    for row in rows:
        path = [tuple(step) for step in row["path"]]
        wanted = max((volume for _, volume in random[row["table"], row["seed"], row["workers"]]), default=0.0)
        reached = {
            share: max((volume for spent, volume in path if spent <= share * TRIALS), default=0.0)
            for share in (0.25, 0.5, 1.0)
        }
        yield {
            **row,
            # A racer that never gets there is said to need the whole budget, which is in its favour.
            "time": min(time_to(path, wanted), float(TRIALS)),
            "quarter": reached[0.25],
            "half": reached[0.5],
            "end": reached[1.0],
        }


def report(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """All figures, over all tables and for each."""
    found = list(figures(rows))
    tables = {name: _document([row for row in found if row["table"] == name]) for name in _names(found, "table")}
    seeds = len({row["seed"] for row in found})
    return {"seeds": seeds, "budget_trials": TRIALS, **_document(found), "tables": tables, **refusals()}


def _names(rows: list[dict[str, Any]], key: str) -> list[Any]:
    return list(dict.fromkeys(row[key] for row in rows))


def refusals() -> dict[str, Any]:
    """What a suggestion costs in a space where nine in ten are over budget and refused."""
    table = synthetic_table(0)
    rng = np.random.default_rng(0)
    drawn = [table.costs(table.spec.search_space.draw(rng)).macs_g for _ in range(200)]
    limits = table.spec.constraints.model_copy(update={"macs_g": float(np.quantile(drawn, 0.1))})
    table.spec = table.spec.model_copy(update={"constraints": limits})
    # New costs, so that none is known from the draws above.
    table.costs = Costs(table.spec, table.teacher)
    searcher = searcher_on(table, "random", "fifo", 1, 0)
    began_s = time.process_time()
    for _ in range(20):
        searcher.suggest()
    spent_s = time.process_time() - began_s
    refused = sum(record.state == "infeasible" for record in searcher.study.records())
    return {"refused": refused, "refusal_ms": round(1000 * spent_s / (refused + 20), 2)}


def _document(rows: list[dict[str, Any]]) -> dict[str, Any]:
    def values(key: str, workers: int, racer: str) -> dict[tuple[str, int], float]:
        own = [row for row in rows if (row["workers"], row["racer"]) == (workers, racer)]
        return {(row["table"], row["seed"]): row[key] for row in own}

    def by_workers(figure: Callable[[int, str], Any]) -> dict[str, dict[str, Any]]:
        return {
            str(workers): {racer: figure(workers, racer) for racer in DRIVERS if values("time", workers, racer)}
            for workers in sorted(_names(rows, "workers"))
        }

    def median(key: str, digits: int) -> dict[str, dict[str, float]]:
        return by_workers(lambda w, n: round(statistics.median(values(key, w, n).values()), digits))

    def quartiles(key: str) -> dict[str, dict[str, list[float]]]:
        return by_workers(
            lambda w, n: [round(float(q), 4) for q in np.quantile([*values(key, w, n).values()], [0.25, 0.75])]
        )

    def p_value(key: str, alternative: str) -> dict[str, dict[str, float | None]]:
        def of(workers: int, racer: str) -> float | None:
            ours, other = values(key, workers, "ours"), values(key, workers, racer)
            both = ours.keys() & other.keys()
            if racer == "ours" or not both:
                return None
            pairs = [ours[race] for race in both], [other[race] for race in both]
            return float(mannwhitneyu(*pairs, alternative=alternative).pvalue)

        return by_workers(of)

    asked = [row["ask_s"] for row in rows if row["racer"] == "ours"]
    return {
        "time_to_random_final": median("time", 2),
        "final_hypervolume": median("end", 4),
        "hypervolume_at_25": median("quarter", 4),
        "hypervolume_at_50": median("half", 4),
        "time_quartiles": quartiles("time"),
        "hypervolume_quartiles": quartiles("end"),
        "time_p": p_value("time", "less"),
        "hypervolume_p": p_value("end", "greater"),
        "races": by_workers(lambda w, n: len(values("time", w, n))),
        "ask_s": by_workers(lambda w, n: _median_ask(rows, w, n)),
        "ask_ms": round(1000 * statistics.median(asked), 1) if asked else None,
    }


def _median_ask(rows: list[dict[str, Any]], workers: int, racer: str) -> float:
    asked = [row["ask_s"] for row in rows if (row["workers"], row["racer"]) == (workers, racer)]
    return round(statistics.median(asked), 3)


def show(found: dict[str, Any]) -> None:
    print(f"{found['seeds']} seeds, {found['budget_trials']} trials' worth of seconds; medians [quartiles]")
    for table, shown in found["tables"].items():
        print(f"\n{table}")
        show_table(shown)
    print(f"\nover budget: {found['refusal_ms']} ms of one CPU a suggestion ({found['refused']} refused)")


def show_table(found: dict[str, Any]) -> None:
    print(
        f"{'workers':>7}  {'':7}{'races':>6} {'time to random final':>24}{'of it':>6}  {'at 25 %':>8}{'at 50 %':>8}  "
        f"{'final hypervolume':>24} {'s a suggestion':>15}  p (ours sooner, higher)"
    )
    for workers, row in found["time_to_random_final"].items():
        for name, time_ in row.items():
            low, high = found["time_quartiles"][workers][name]
            volume = found["final_hypervolume"][workers][name]
            below, above = found["hypervolume_quartiles"][workers][name]
            p = [found[key][workers][name] for key in ("time_p", "hypervolume_p")]
            shown = "" if p[0] is None else f"{p[0]:.1e}, {p[1]:.1e}"
            times = f"{time_:.1f} [{low:.1f} - {high:.1f}]"
            early = "".join(f"{found[f'hypervolume_at_{share}'][workers][name]:>8.3f}" for share in (25, 50))
            volumes = f"{volume:.3f} [{below:.3f} - {above:.3f}]"
            races, asks = found["races"][workers][name], found["ask_s"][workers][name]
            print(
                f"{workers:>7}  {name:7}{races:>6} {times:>24}{time_ / row['random']:>6.2f}  {early}  {volumes:>24} "
                f"{asks:>15.3f}  {shown}"
            )


def asked_for(args: argparse.Namespace) -> list[Race]:
    """The races of this call, seed by seed."""
    tables = args.tables or ["synthetic", *sorted(path.name.partition(".")[0] for path in RECORDED.glob("*.gz"))]
    races = []
    for seed, table, workers, racer in product(range(args.seeds), tables, args.workers, args.racers):
        slow_too = racer not in SLOW or (seed < args.slow_seeds and workers in args.slow_workers)
        if slow_too and (racer not in ALONE or workers == 1):
            races.append(Race(table, seed, workers, racer))
    return races


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--racers", nargs="+", choices=list(DRIVERS), default=list(FAST))
    parser.add_argument("--tables", nargs="+", help="`synthetic` and names of recorded tables; by default all")
    parser.add_argument("--slow-seeds", type=int, default=2, help="seeds of racers that think for seconds")
    parser.add_argument("--slow-workers", type=int, nargs="+", default=list(WORKERS))
    parser.add_argument("--processes", type=int, help="races at once; by default one for each core")
    parser.add_argument("--rows", type=Path, help="file in which races are kept as they end")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if absent := missing(args.racers):
        needed = ", ".join(f"{name} (pip install {package})" for name, package in absent.items())
        print(f"racers that are not here, and are left out: {needed}", file=sys.stderr)
    # All others are measured by where random search ends.
    args.racers = list(dict.fromkeys(["random", *(racer for racer in args.racers if racer not in absent)]))
    found = report(run(asked_for(args), args.rows, args.processes))
    if args.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
