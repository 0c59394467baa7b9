"""How much each setting decides about what a student costs: exactly, since costs are known without training."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from raysearch.errors import InputError
from raysearch.front.trials import Cost
from raysearch.spec.space import Config, Distribution, Space, Value

DRAWS = 200
"""Pairs of configurations in which one setting after the other is exchanged."""
MEASURES: Mapping[str, Callable[[Cost], float]] = {
    "macs": lambda cost: cost.macs_g,
    "params": lambda cost: cost.params_m,
}


def cost_importances(space: Space, cost_of: Callable[[Config], Cost], seed: int) -> dict[str, dict[str, float]]:
    """The share that each searched setting has in the spread of ln MACs and of ln parameters over the space.

    A setting on which a cost does not depend has a share of exactly 0. Shares are total effects: what a setting does
    together with another counts for both. They are scaled to sum to 1.

    Source: Jansen, Analysis of variance designs for model output, Computer Physics Communications 1999, equation 21.
    """
    rng = np.random.default_rng(seed)
    keys = [*(["method"] if len(space.methods) > 1 else []), *space.distributions]
    effects = {name: dict.fromkeys(keys, 0.0) for name in MEASURES}
    for _ in range(DRAWS):
        one, other = space.draw(rng), space.draw(rng)
        for key in keys:
            try:
                costs = cost_of(one), cost_of(_exchanged(space, one, other, key, rng))
            except InputError:  # one of the two has no student
                continue
            for name, measure in MEASURES.items():
                effects[name][key] += float(np.log(measure(costs[0]) / measure(costs[1]))) ** 2
    return {name: _shares(found) for name, found in effects.items()}


def _exchanged(space: Space, one: Config, other: Config, key: str, rng: np.random.Generator) -> Config:
    """The first configuration with one setting of the other. What matters only then is taken from there or drawn."""

    def choose(at: str, distribution: Distribution) -> Value:
        sources = (other, one) if at == key else (one, other)
        for source in sources:
            if at in source:
                return source[at]
        return distribution.draw(rng)

    return space.walk(choose)


def _shares(effects: Mapping[str, float]) -> dict[str, float]:
    """The effects as shares, the largest first; all 0 if no setting has any."""
    total = sum(effects.values()) or 1.0
    return {key: found / total for key, found in sorted(effects.items(), key=lambda one: -one[1])}
