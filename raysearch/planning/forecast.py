"""The forecast: what a search of this space may find, and when.

The real searcher is replayed on made-up errors, with the seconds that each trial is expected to take. Its trials, their
states and the time that the searcher itself needs are therefore those of a real search. The errors are not.

Shapes: Q quartiles, S shares of the search's length.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from raysearch.encoder.config import AnyConfig
from raysearch.simulation.made_up import SyntheticTable, oracle_points
from raysearch.simulation.simulation import Ended, history, ln_cost_hypervolume, searcher_on, simulate
from raysearch.spec.document import Spec
from raysearch.spec.space import Config

SEEDS = 5
"""Searches that are replayed, each on made-up errors of its own."""
DRAWS, ROUNDS = 300, 3
"""Random configurations, and rounds of changes to the best of them, by which the best known front is found."""
SHARES = (0.1, 0.25, 0.5, 0.75, 1.0)
"""Shares of the search's length at which the curve is read."""


@dataclass(frozen=True)
class Forecast:
    """What the replayed searches came to. Times and curve are medians over the seeds."""

    makespan_s: float
    """Seconds from the start of the first trial to the end of the last one."""
    driver_s: float
    """CPU seconds of this machine that the searcher needs for a trial, with the study in memory."""
    curve: tuple[tuple[float, float, float, float], ...]
    """One entry for each of `SHARES`: the share, then the lower quartile, median and upper quartile over seeds of the
    hypervolume in ln cost, as a share of the best known front's."""
    states: dict[str, float]
    """Mean number of trials by state."""
    configs: tuple[Config, ...]
    """The configurations that the first of the searches tried."""


def forecast(spec: Spec, teacher: AnyConfig, seconds: Callable[[Config], float], trials: int, lanes: int) -> Forecast:
    """The forecast of a search with so many trials in so many lanes.

    `seconds` gives the length of a whole trial. Errors follow the laws of `SyntheticTable`: only the shape of the curve
    means something.
    Raises: InputError if constraints leave next to nothing; WorkError if the space holds fewer trials than asked.
    """
    spec = spec.uncharged
    curves, ends, drivers, states = [], [], [], []
    searches: list[list[Ended]] = []
    for seed in range(SEEDS):
        table = SyntheticTable(seed, spec, teacher, seconds)
        search = spec.search
        driver = searcher_on(table, search.sampler, search.scheduler, lanes, seed, trials)
        # CPU time, since other processes of this machine must not count as thinking.
        began_s = time.process_time()
        ended = simulate(table, driver, workers=lanes, seed=seed)
        drivers.append((time.process_time() - began_s) / trials)
        steps = history(ended, 1, table.reference_point)
        best = ln_cost_hypervolume(oracle_points(table, DRAWS, ROUNDS), table.reference_point)
        makespan_s = ended[-1].time_s
        curves.append([_reached(steps, share * makespan_s) / best for share in SHARES])
        ends.append(makespan_s)
        states.append([trial.state for trial in ended])
        searches.append(ended)
    quartiles_QS = np.quantile(curves, [0.25, 0.5, 0.75], axis=0)
    return Forecast(
        makespan_s=float(np.median(ends)),
        driver_s=float(np.median(drivers)),
        curve=tuple((share, *map(float, quartiles_QS[:, place])) for place, share in enumerate(SHARES)),  # type: ignore[misc]
        states={state: sum(one.count(state) for one in states) / SEEDS for state in ("complete", "stopped", "failed")},
        configs=tuple(trial.config for trial in searches[0]),
    )


def _reached(steps: Sequence[tuple[float, float]], time_s: float) -> float:
    return max((volume for at_s, volume in steps if at_s <= time_s), default=0.0)
