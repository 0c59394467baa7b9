"""Measures how much sooner our searcher gets where random search ends, and how far it gets in equal time.

    python benchmarks/search_efficiency.py --seeds 20 [--json]

It replays synthetic tables, a new one for each seed, and every recorded table in `benchmarks/tables`. Our searcher is
compared with its peers: random search, TPE through Ray's own `OptunaSearch`, and NSGA-II with a population of 20. The
peers run every trial to its end and are told of complete trials only. Time is summed over workers and counted in
trials: one trial is the seconds that a mean random configuration takes in full. `final_hypervolume` is a share of the
best that is known of the table.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from ray.tune.search.optuna import OptunaSearch
from scipy.stats import mannwhitneyu

from raysearch.lanes.source import Suggestion
from raysearch.search.costs import Costs
from raysearch.simulation.made_up import SyntheticTable, oracle_points, synthetic_table
from raysearch.simulation.recorded import RecordedTable, Table, read_table
from raysearch.simulation.simulation import Driver, history, ln_cost_hypervolume, searcher_on, simulate, time_to
from raysearch.spec.space import Config

TRIALS = 60
"""Budget of a search, in mean random trials."""
WORKERS = (1, 4, 16)
RECORDED = Path(__file__).parent / "tables"


class Peer:
    """A search with an Optuna sampler, which is told of complete trials only."""

    def __init__(self, table: Table, sampler: optuna.samplers.BaseSampler) -> None:
        self._table = table
        self._space = table.spec.search_space
        self._error = next(o for o in table.spec.objectives if o not in ("macs", "params"))
        self._study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
        self._trials: dict[int, tuple[optuna.Trial, float]] = {}

    def suggest(self) -> Suggestion:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            config = self._space.suggest(trial)
        self._trials[trial.number] = trial, self._table.costs(config).macs_g
        return Suggestion(trial.number, config, seed=trial.number)

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        return True

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        trial, macs_g = self._trials[number]
        self._study.tell(trial, [macs_g, metrics[f"eval/{self._error}"]])

    def fail(self, number: int, cause: str, error: str) -> None:
        self._study.tell(self._trials[number][0], state=optuna.trial.TrialState.FAIL)


class RayTpe:
    """A search with Ray's `OptunaSearch` and the sampler that it chooses itself for two objectives: TPE."""

    def __init__(self, table: Table, seed: int) -> None:
        self._table = table
        self._error = next(o for o in table.spec.objectives if o not in ("macs", "params"))
        self._search = OptunaSearch(self._ask, metric=["macs", "error"], mode=["min", "min"], seed=seed)
        self._configs: list[Config] = []

    def _ask(self, trial: Any) -> None:
        self._configs.append(self._table.spec.search_space.suggest(trial))

    def suggest(self) -> Suggestion:
        number = len(self._configs)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            self._search.suggest(str(number))
        return Suggestion(number, self._configs[number], seed=number)

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        return True

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        macs_g = self._table.costs(self._configs[number]).macs_g
        self._search.on_trial_complete(str(number), {"macs": macs_g, "error": metrics[f"eval/{self._error}"]})

    def fail(self, number: int, cause: str, error: str) -> None:
        self._search.on_trial_complete(str(number), error=True)


class Timed:
    """A driver that times the suggestions of another one."""

    def __init__(self, driver: Driver) -> None:
        self._driver = driver
        self.ask_s: list[float] = []
        self.observe, self.complete, self.fail = driver.observe, driver.complete, driver.fail

    def suggest(self) -> Suggestion | None:
        began_s = time.process_time()
        suggestion = self._driver.suggest()
        self.ask_s.append(time.process_time() - began_s)
        return suggestion


DRIVERS: dict[str, Callable[[Table, int, int], Driver]] = {
    "ours": lambda table, workers, seed: searcher_on(table, "ehvi", "pareto-asha", workers, seed),
    "random": lambda table, workers, seed: Peer(table, optuna.samplers.RandomSampler(seed=seed)),
    "tpe": lambda table, workers, seed: RayTpe(table, seed),
    "nsga2": lambda table, workers, seed: Peer(table, optuna.samplers.NSGAIISampler(seed=seed, population_size=20)),
}


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


@dataclass
class Runs:
    """How the drivers did on one kind of table, by number of workers and name of the driver."""

    times: dict[tuple[int, str], list[float]] = field(default_factory=dict)
    """Trials until the hypervolume with which random search ends, one for each seed."""
    finals: dict[tuple[int, str], list[float]] = field(default_factory=dict)
    """Hypervolume at the end, as a share of the best known."""
    quarters: dict[tuple[int, str], list[float]] = field(default_factory=dict)
    """Hypervolume after a quarter of the budget."""
    halves: dict[tuple[int, str], list[float]] = field(default_factory=dict)
    """Hypervolume after half of the budget."""
    ask_s: list[float] = field(default_factory=list)
    """CPU seconds of our suggestions near the end of a search."""

    def add(self, other: Runs) -> None:
        for figure in ("times", "finals", "quarters", "halves"):
            for key, values in getattr(other, figure).items():
                getattr(self, figure).setdefault(key, []).extend(values)
        self.ask_s += other.ask_s


def replayed(table: Table, seed: int) -> Runs:
    """Runs every driver on one table, with each number of workers."""
    found, unit, best = Runs(), unit_s(table), best_known(table)
    for workers in WORKERS:
        paths = {}
        for name, make in DRIVERS.items():
            driver = Timed(make(table, workers, seed))
            ended = simulate(table, driver, workers=workers, seed=seed, budget_s=TRIALS * unit)
            paths[name] = history(ended, workers, table.reference_point)
            if name == "ours":
                # Near the end, where the surrogate has most to learn from and is slowest.
                found.ask_s += driver.ask_s[TRIALS - 10 : TRIALS + 10]
        wanted = paths["random"][-1][1]
        for name, path in paths.items():
            for share, volumes in ((0.25, found.quarters), (0.5, found.halves), (1.0, found.finals)):
                reached = [volume for spent_s, volume in path if spent_s <= share * TRIALS * unit]
                volumes[workers, name] = [reached[-1] / best if reached else 0.0]
            # A driver that never gets there is said to need the whole budget, which is in its favour.
            found.times[workers, name] = [min(time_to(path, wanted) / unit, float(TRIALS))]
    return found


def of_seed(seed: int) -> dict[str, Runs]:
    """The runs by table: the synthetic one of this seed, and each recorded one."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    tables: dict[str, Table] = {"synthetic": synthetic_table(seed)}
    tables |= {path.stem: read_table(path) for path in sorted(RECORDED.glob("*.gz"))}
    return {name: replayed(table, seed) for name, table in tables.items()}


def run(seeds: int) -> dict[str, Any]:
    by_table: dict[str, Runs] = {}
    # Fresh processes, since forked ones would share the threads of the linear algebra.
    with ProcessPoolExecutor(mp_context=get_context("spawn")) as pool:
        for found in pool.map(of_seed, range(seeds)):
            for name, runs in found.items():
                by_table.setdefault(name, Runs()).add(runs)
    every = Runs()
    for runs in by_table.values():
        every.add(runs)
    tables = {name: _document(runs) for name, runs in by_table.items()}
    return {"seeds": seeds, "budget_trials": TRIALS, **_document(every), "tables": tables, **refusals()}


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


def _document(runs: Runs) -> dict[str, Any]:
    def by_workers(figure: Callable[[int, str], Any]) -> dict[str, dict[str, Any]]:
        return {str(workers): {name: figure(workers, name) for name in DRIVERS} for workers in WORKERS}

    def quartiles(values: list[float]) -> list[float]:
        return [round(float(q), 4) for q in np.quantile(values, [0.25, 0.75])]

    def p_value(of: Any, workers: int, name: str, alternative: str) -> float | None:
        if name == "ours":
            return None
        return float(mannwhitneyu(of[workers, "ours"], of[workers, name], alternative=alternative).pvalue)

    times, finals = runs.times, runs.finals
    return {
        "time_to_random_final": by_workers(lambda w, n: round(statistics.median(times[w, n]), 2)),
        "final_hypervolume": by_workers(lambda w, n: round(statistics.median(finals[w, n]), 4)),
        "hypervolume_at_25": by_workers(lambda w, n: round(statistics.median(runs.quarters[w, n]), 4)),
        "hypervolume_at_50": by_workers(lambda w, n: round(statistics.median(runs.halves[w, n]), 4)),
        "time_quartiles": by_workers(lambda w, n: quartiles(times[w, n])),
        "hypervolume_quartiles": by_workers(lambda w, n: quartiles(finals[w, n])),
        "time_p": by_workers(lambda w, n: p_value(times, w, n, "less")),
        "hypervolume_p": by_workers(lambda w, n: p_value(finals, w, n, "greater")),
        "ask_ms": round(1000 * statistics.median(runs.ask_s), 1),
    }


def show(found: dict[str, Any]) -> None:
    print(f"{found['seeds']} seeds, {found['budget_trials']} trials' worth of seconds; medians [quartiles]")
    for table, figures in found["tables"].items():
        print(f"\n{table}")
        show_table(figures)
    print(f"\nover budget: {found['refusal_ms']} ms of one CPU a suggestion ({found['refused']} refused)")


def show_table(found: dict[str, Any]) -> None:
    print(
        f"{'workers':>7}  {'':7} {'time to random final':>24}  {'at 25 %':>8}{'at 50 %':>8}  "
        f"{'final hypervolume':>24}  p (ours sooner, higher)"
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
            print(f"{workers:>7}  {name:7} {times:>24}  {early}  {volumes:>24}  {shown}")
    print(f"a suggestion of ours near trial {TRIALS}: {found['ask_ms']} ms of one CPU")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    found = run(args.seeds)
    if args.json:
        print(json.dumps(found))
    else:
        show(found)


if __name__ == "__main__":
    main()
