"""Chooses and makes the sampler, which suggests the next configuration.

It is made anew for each trial, so that a resumed search goes on as if it had not been interrupted.

Shapes: P configurations that were drawn, C costs.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence

import numpy as np
import optuna

from raysearch.errors import counted
from raysearch.files.digest import content_digest
from raysearch.spec.budget import ENDLESS
from raysearch.spec.space import Config, Space

START_DRAWS = 64
"""Configurations that are drawn to find one near a wanted cost."""
CHEAPER = 2.0
"""Wanted ln costs of first trials are drawn from their range by this power of an even draw: half of them lie in its
lowest quarter. What is learned of the other settings from cheap trials is as good, and many lanes begin all their first
trials before anything is known."""


def choose_sampler(name: str, trials: int) -> tuple[str, str]:
    """The sampler that `auto` stands for, and why."""
    if name != "auto":
        return name, "asked for"
    if trials == ENDLESS:
        return "ehvi", "costs are known, and a model of the error pays for itself"
    if trials > 2000:
        return "nsga2", f"{counted(trials, 'trial')} are more than a model of the space is worth"
    return "ehvi", f"costs are known, and a model of the error pays for itself within {counted(trials, 'trial')}"


def make_sampler(name: str, seed: int, trial: int) -> optuna.samplers.BaseSampler:
    """A sampler for one trial. Its seed is derived from the search's seed and the trial's number."""
    own = derived_seed(seed, trial)
    if name == "random":
        return optuna.samplers.RandomSampler(seed=own)
    if name == "gp":
        return optuna.samplers.GPSampler(seed=own, n_startup_trials=0)
    if name == "nsga2":
        return optuna.samplers.NSGAIISampler(seed=own, population_size=20)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        return optuna.samplers.TPESampler(seed=own, n_startup_trials=0, multivariate=True, group=True)


def derived_seed(seed: int, trial: int) -> int:
    """A 31-bit seed for one trial of a search."""
    return int(content_digest(f"{seed}:{trial}", digits=8), base=16) >> 1


def stratified(
    space: Space, ln_costs: Callable[[Config], Sequence[float]], feasible: Callable[[Config], bool], seed: int
) -> Config:
    """A feasible configuration whose ln costs are near drawn values: such trials span the costs, most of them cheap.

    Plain random draws would crowd in the middle of the costs' range, where most combinations lie.
    """
    rng = np.random.default_rng(seed)
    drawn = [config for config in (space.draw(rng) for _ in range(START_DRAWS)) if feasible(config)]
    # With nothing feasible at hand any draw will do: the searcher refuses it and asks again.
    if not drawn:
        return space.draw(rng)
    costs_PC = np.array([ln_costs(config) for config in drawn])
    low_C, high_C = costs_PC.min(axis=0), costs_PC.max(axis=0)
    wanted_C = low_C + (high_C - low_C) * rng.uniform(size=len(low_C)) ** CHEAPER
    # Two costs count alike, whatever their ranges are.
    away_PC = np.abs(costs_PC - wanted_C) / np.maximum(high_C - low_C, 1e-9)
    return drawn[int(away_PC.max(axis=1).argmin())]
