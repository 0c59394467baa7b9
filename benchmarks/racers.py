"""The searchers that ours is compared with: samplers of Optuna, Ray's `OptunaSearch`, and those of NePS and Ax.

They are told of costs like of any other objective: only ours knows them beforehand. All but NePS's MOASHA run every
trial to its end. NePS and Ax need packages that raysearch does not: `pip install ax-platform`, `pip install
neural-pipeline-search`, each in an environment of its own where their versions clash with `constraints.txt`.
"""

from __future__ import annotations

import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import optuna
from ray.tune.search.optuna import OptunaSearch

from raysearch.front.objective import errors_of
from raysearch.lanes.source import Suggestion
from raysearch.simulation.recorded import Row, Table
from raysearch.simulation.simulation import Driver, searcher_on
from raysearch.spec.space import Config, Distribution, Value

OVER = "over"
"""What an Optuna trial knows by this name is by how much it is over the limit of MACs."""


class Peer:
    """A search with an Optuna sampler, which is told of complete trials only."""

    def __init__(self, table: Table, sampler: optuna.samplers.BaseSampler) -> None:
        self._table = table
        (self._error,) = errors_of(table.spec.objectives)
        self._study = optuna.create_study(directions=["minimize"] * 2, sampler=sampler)
        self._trials: dict[int, tuple[optuna.Trial, float]] = {}

    def suggest(self) -> Suggestion:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            trial = self._study.ask()
            config = self._table.spec.search_space.suggest(trial)
        macs_g = self._table.costs(config).macs_g
        if limit := self._table.spec.constraints.macs_g:
            trial.set_user_attr(OVER, macs_g - limit)
        self._trials[trial.number] = trial, macs_g
        return Suggestion(trial.number, config, seed=trial.number)

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        return True

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        trial, macs_g = self._trials[number]
        self._study.tell(trial, [macs_g, metrics[f"eval/{self._error}"]])

    def fail(self, number: int, cause: str, error: str) -> None:
        self._study.tell(self._trials[number][0], state=optuna.trial.TrialState.FAIL)


def gaussian(table: Table, seed: int) -> Peer:
    """A search with Optuna's GPSampler, which is given the limit of MACs as a constraint where there is one."""
    limited = table.spec.constraints.macs_g is not None
    over = (lambda trial: (trial.user_attrs[OVER],)) if limited else None
    return Peer(table, optuna.samplers.GPSampler(seed=seed, constraints_func=over, warn_independent_sampling=False))


class RayTpe:
    """A search with Ray's `OptunaSearch` and the sampler that it chooses itself for two objectives: TPE."""

    def __init__(self, table: Table, seed: int) -> None:
        self._table = table
        (self._error,) = errors_of(table.spec.objectives)
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


class Ax:
    """A search with Ax's own choice for two objectives: a Sobol start, then qLogNEHVI on Gaussian processes."""

    def __init__(self, table: Table, seed: int) -> None:
        from ax.api.client import Client

        self._table = table
        (self._error,) = errors_of(table.spec.objectives)
        self._client = Client(random_seed=seed)
        self._client.configure_experiment([_for_ax(key, one) for key, one in _all_settings(table).items()])
        # Otherwise many workers wait for the first results.
        self._client.configure_generation_strategy(
            initialization_random_seed=seed, allow_exceeding_initialization_budget=True
        )
        limit = table.spec.constraints.macs_g
        self._client.configure_optimization("-macs, -error", [f"macs <= {limit}"] if limit else None)
        self._configs: dict[int, Config] = {}

    def suggest(self) -> Suggestion | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            asked = self._client.get_next_trials(max_trials=1)
        for number, values in asked.items():
            self._configs[number] = _config_of(self._table, values)
            return Suggestion(number, self._configs[number], seed=number)
        return None

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        return True

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        macs_g = self._table.costs(self._configs[number]).macs_g
        self._client.complete_trial(number, raw_data={"macs": macs_g, "error": metrics[f"eval/{self._error}"]})

    def fail(self, number: int, cause: str, error: str) -> None:
        self._client.mark_trial_failed(number)


class Moasha:
    """A search with NePS's MOASHA: two objectives at a rung decide which trials go on to the next.

    A trial that goes on is charged for what it has not done yet. So it runs on `table`, on which such a trial begins
    where it was stopped.
    """

    def __init__(self, table: Table, seed: int) -> None:
        import neps
        import torch
        from neps.space import HPOInteger, SearchSpace

        # NePS has no seed of its own.
        torch.manual_seed(seed)
        np.random.seed(seed)
        (self._error,) = errors_of(table.spec.objectives)
        most = max(1, round(1 / table.spec.search.rungs[0]))
        settings = {key: _for_neps(one) for key, one in _all_settings(table).items()}
        space = SearchSpace({**settings, "budget": HPOInteger(1, most, is_fidelity=True)})
        self._search = neps.AskAndTell(neps.algorithms.moasha(space, eta=3))
        self._most, self._spec = most, table.spec
        self.table = _Continued(table)
        self._ids: dict[int, tuple[str, float, Config]] = {}
        self._whole: dict[str, list[float]] = {}

    def suggest(self) -> Suggestion:
        while True:
            asked = self._search.ask()
            values = dict(asked.config)
            share = values.pop("budget") / self._most
            config = _config_of(self.table, values)
            known = self._whole.get(repr(config))
            if known is None:
                break
            # A pruned student is judged at the end alone, so that it was whole when it was to be compared.
            self._search.tell(asked.metadata.id, {"objective_to_minimize": known})
        number = len(self._ids)
        self._ids[number] = asked.metadata.id, share, config
        return Suggestion(number, config, seed=number)

    def observe(self, number: int, updates: int, metrics: dict[str, float]) -> bool:
        _, share, config = self._ids[number]
        reached = updates / self._spec.updates(str(config["method"]))
        if reached < share - 1e-3:
            return True
        self.table.done[repr(config)] = reached
        self._tell(number, metrics)
        return False

    def complete(self, number: int, updates: int, metrics: dict[str, float]) -> None:
        self._whole[repr(self._ids[number][2])] = self._tell(number, metrics)

    def fail(self, number: int, cause: str, error: str) -> None:
        name, _, config = self._ids[number]
        worst = [self.table.costs(config).macs_g, 100.0]
        self._whole[repr(config)] = worst
        self._search.tell(name, {"objective_to_minimize": worst})

    def _tell(self, number: int, metrics: dict[str, float]) -> list[float]:
        name, _, config = self._ids[number]
        found = [self.table.costs(config).macs_g, metrics[f"eval/{self._error}"]]
        self._search.tell(name, {"objective_to_minimize": found})
        return found


class _Continued:
    """A table on which a trial that was stopped goes on from the share of its budget that it has done."""

    def __init__(self, table: Table) -> None:
        self._table = table
        self.spec, self.teacher, self.costs = table.spec, table.teacher, table.costs
        self.reference_point = table.reference_point
        self.done: dict[str, float] = {}
        """What was done of each configuration, by its text."""

    def row(self, config: Config, seed: int) -> Row:
        row, done = self._table.row(config, seed), self.done.get(repr(config), 0.0)
        before = [point for point in row.points if point.share <= done + 1e-3]
        if not before:
            return row
        spent_s = before[-1].seconds
        points = tuple(replace(point, seconds=point.seconds - spent_s) for point in row.points[len(before) :])
        died_s = None if row.diverged_s is None else row.diverged_s - spent_s
        return replace(row, points=points, diverged_s=died_s)


def _all_settings(table: Table) -> dict[str, Distribution]:
    """All that is searched. Neither NePS nor Ax is told which settings matter to which method."""
    methods = table.spec.search_space.methods
    own = {"method": Distribution(choice=list(methods))} if len(methods) > 1 else {}
    return {**own, **table.spec.search_space.distributions}


def _config_of(table: Any, values: dict[str, Value]) -> Config:
    config: Config = table.spec.search_space.walk(lambda key, _: values[key])
    return config


def _for_ax(key: str, one: Distribution) -> Any:
    from ax.api.configs import ChoiceParameterConfig, RangeParameterConfig

    if one.choice is not None:
        kind = type(one.choice[0]).__name__
        ordered = kind in ("int", "float") and len(one.choice) > 2
        return ChoiceParameterConfig(key, values=one.choice, parameter_type=kind, is_ordered=ordered)  # type: ignore[arg-type]
    kind, bounds = ("int", one.int_) if one.int_ else ("float", one.float_)
    return RangeParameterConfig(key, bounds=bounds, parameter_type=kind, scaling="log" if one.log else None)


def _for_neps(one: Distribution) -> Any:
    from neps.space import HPOCategorical, HPOFloat, HPOInteger

    if one.choice is not None:
        return HPOCategorical(one.choice)
    return HPOInteger(*one.int_, log=one.log) if one.int_ else HPOFloat(*one.float_, log=one.log)  # type: ignore[misc]


DRIVERS: dict[str, Callable[[Table, int, int], Driver]] = {
    "ours": lambda table, workers, seed: searcher_on(table, "ehvi", "pareto-asha", workers, seed),
    "random": lambda table, workers, seed: Peer(table, optuna.samplers.RandomSampler(seed=seed)),
    "tpe": lambda table, workers, seed: RayTpe(table, seed),
    "nsga2": lambda table, workers, seed: Peer(table, optuna.samplers.NSGAIISampler(seed=seed, population_size=20)),
    "gp": lambda table, workers, seed: gaussian(table, seed),
    "moasha": lambda table, workers, seed: Moasha(table, seed),
    "ax": lambda table, workers, seed: Ax(table, seed),
}
"""How each racer is made, by its name."""
NEEDS = {"gp": ("torch", "torch"), "moasha": ("neps", "neural-pipeline-search"), "ax": ("ax", "ax-platform")}
"""The module that a racer needs beside those of raysearch, and the package that has it."""
SLOW = ("gp", "ax")
"""Racers that think for seconds before each trial."""
ALONE = ("moasha",)
"""Racers for one worker: NePS 0.17 fails when it is asked while all the trials that it would compare still run."""


def missing(names: list[str]) -> dict[str, str]:
    """The racers that cannot run here, each with the package that it needs."""
    return {
        name: NEEDS[name][1] for name in names if name in NEEDS and importlib.util.find_spec(NEEDS[name][0]) is None
    }
