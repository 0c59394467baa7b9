"""Proposes the configuration by which the front is expected to grow most.

The measure is the expected improvement of the hypervolume, the volume between the front and a reference point. Costs
are known exactly, and each error is predicted by a process of its own, so that it has a closed form: the part of the
space that the front leaves is cut into boxes, and what a point is expected to take of a box is the product of what it
is expected to take along each axis.

Source: Yang et al., Efficient computation of expected hypervolume improvement, Journal of Global Optimization 2019.
Shapes: P candidates or points, K boxes, M objectives, of which C are costs and E errors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

import moocore
import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from raysearch.search.surrogate import Observation, Surrogate
from raysearch.spec.space import Config, Distribution, Space, Value

Array = NDArray[np.float64]
RANDOM, MUTANTS = 300, 200
"""Candidates for a proposal: how many are drawn from the space, and how many are changed from members of the front."""
THRIFT = 0.5
"""The gain of a trial is divided by its MACs to this power: of two trials with one gain the cheaper is worth more, but
cheapness alone is no gain."""
BEYOND = 0.25
"""About this share of the trials lies beyond the reference in some error."""


class Known(NamedTuple):
    """What is known of a configuration before it is run."""

    ln_costs: Callable[[Config], Sequence[float]]
    """ln of each cost that is an objective."""
    ln_macs: Callable[[Config], float]
    feasible: Callable[[Config], bool]
    """Whether it may be run, and has not been run yet."""


class Proposal(NamedTuple):
    """A candidate, and what it is worth."""

    config: Config
    gain: float
    """Largest expected growth of the hypervolume by any candidate, as a share of the hypervolume that there is."""


def propose(
    space: Space,
    surrogates: Sequence[Surrogate],
    observations: Sequence[Sequence[Observation]],
    known: Known,
    rng: np.random.Generator,
) -> Proposal | None:
    """The candidate from which the front is expected to gain most for its cost. None while too little is known.

    `surrogates` has one for each error, and `observations` what each is told of the same trials in the same order.
    """
    if not all(one.fit(seen) for one, seen in zip(surrogates, observations, strict=True)):
        return None
    trials = list(zip(*observations, strict=True))
    ended = [trial for trial in trials if all(one.ended is not None for one in trial)]
    if len(ended) < 2:
        return None
    configs = [trial[0].config for trial in ended]
    ln_errors_PE = np.array([[one.ended for one in trial] for trial in ended], dtype=float)
    pending = [trial[0].config for trial in trials if not any(one.ln_error or one.diverged for one in trial)]
    good = [config for one in surrogates for config in one.known]
    candidates = _candidates(space, _front(configs, ln_errors_PE, known), good, known, rng)
    # Trials that still run count as if they had ended where they are expected to: lanes must not ask for the same.
    if pending:
        believed_PE = np.stack([one.believe(pending) for one in surrogates], axis=1)
        ln_errors_PE = np.concatenate([ln_errors_PE, believed_PE])
    if not candidates:
        return None
    done_PM = np.hstack([[known.ln_costs(config) for config in (*configs, *pending)], np.exp(ln_errors_PE)])
    costs_PC = np.array([known.ln_costs(config) for config in candidates])
    reference_M = _reference(done_PM, costs_PC)
    mean_PE, sd_PE = np.moveaxis(np.array([one.predict(candidates) for one in surrogates]), (0, 1), (2, 0))
    gain_P = expected_gain(costs_PC, mean_PE, sd_PE, boxes(done_PM, reference_M))
    # The cost is in MACs: with measured seconds the same seed would suggest other trials another day.
    macs_P = np.array([known.ln_macs(config) for config in candidates])
    best = candidates[int(np.argmax(gain_P * np.exp(-THRIFT * macs_P)))]
    return Proposal(best, float(gain_P.max()) / max(moocore.hypervolume(done_PM, ref=reference_M), 1e-12))


def _reference(done_PM: Array, costs_PC: Array) -> Array:
    """The point beyond which nothing counts.

    The worst quarter of the errors lies beyond it: one collapsed trial would stretch the volume for all. Of two errors
    each has its half of that quarter. In cost it lies a little beyond the dearest candidate, which could gain nothing
    otherwise.
    """
    costs = costs_PC.shape[1]
    kept = (1 - BEYOND) ** (1 / (done_PM.shape[1] - costs))
    limit_C = np.maximum(done_PM[:, :costs].max(axis=0), costs_PC.max(axis=0)) + 0.05
    return np.concatenate([limit_C, np.quantile(done_PM[:, costs:], kept, axis=0)])


def boxes(points_PM: Array, reference_M: Array) -> Array:
    """What lies before the reference and is dominated by no point, cut into boxes: their corners (2, K, M)."""
    return np.moveaxis(np.array(list(_boxes(points_PM, reference_M)), dtype=float), 1, 0)


def _boxes(points_PM: Array, reference_M: Array) -> Iterator[tuple[tuple[float, ...], tuple[float, ...]]]:
    points_PM = points_PM[(points_PM < reference_M).all(axis=1)]
    # Left of the least point nothing is known, so that all before the reference is a gain.
    if len(reference_M) == 1:
        yield (-np.inf,), (min(points_PM.min(initial=np.inf), reference_M[0]),)
        return
    points_PM = points_PM[moocore.is_nondominated(points_PM)]
    edges = [-np.inf, *np.unique(points_PM[:, 0]), reference_M[0]]
    for low, high in pairwise(edges):
        # Between the two, all points up to the lower one bound the other objectives.
        for lower, upper in _boxes(points_PM[points_PM[:, 0] <= low, 1:], reference_M[1:]):
            yield (low, *lower), (high, *upper)


def expected_gain(costs_PC: Array, mean_PE: Array, sd_PE: Array, boxes_2KM: Array) -> Array:
    """Expected growth (P) of the volume between front and reference, if errors are lognormal: exp(N(mean, sd)).

    `costs_PC` are ln costs. Errors are independent of each other.
    """
    costs = costs_PC.shape[1]
    gain_PK = np.ones((len(costs_PC), boxes_2KM.shape[1]))
    for at in range(costs):
        low_K, high_K = boxes_2KM[:, :, at]
        gain_PK *= np.maximum(0.0, high_K - np.maximum(low_K, costs_PC[:, [at]]))
    for at in range(mean_PE.shape[1]):
        # The boxes have few corners in common to many of them.
        levels_L, where = np.unique(boxes_2KM[:, :, costs + at], return_inverse=True)
        shortfall_PL = _shortfall(levels_L, mean_PE[:, [at]], sd_PE[:, [at]])
        low_K, high_K = where.reshape(2, -1)
        gain_PK *= shortfall_PL[:, high_K] - shortfall_PL[:, low_K]
    gain_P: Array = gain_PK.sum(axis=1)
    return gain_P


def _shortfall(levels_L: Array, mean_P1: Array, sd_P1: Array) -> Array:
    """E[max(0, level - error)] (P, L) of a lognormal error, which needs no sampling. It is 0 at -infinity."""
    z_PL = (
        np.log(np.maximum(levels_L, 0.0), where=levels_L > 0, out=np.full(len(levels_L), -np.inf)) - mean_P1
    ) / sd_P1
    mean_error_P1 = np.exp(mean_P1 + sd_P1**2 / 2)
    shortfall_PL = np.maximum(levels_L, 0.0) * norm.cdf(z_PL) - mean_error_P1 * norm.cdf(z_PL - sd_P1)
    return np.maximum(shortfall_PL, 0.0)


def _front(configs: Sequence[Config], ln_errors_PE: Array, known: Known) -> list[Config]:
    """The configurations that no other dominates, by cost. Of those with the same numbers, the first."""
    points_PM = np.hstack([[known.ln_costs(config) for config in configs], ln_errors_PE])
    order = np.lexsort(points_PM.T[::-1])
    kept_P = moocore.is_nondominated(points_PM[order])
    return [configs[at] for at in order[kept_P]]


def _candidates(
    space: Space, front: Sequence[Config], good: Sequence[Config], known: Known, rng: np.random.Generator
) -> list[Config]:
    """Random configurations and mutants of the front, without those that may not be run or need not be run again.

    `good` are configurations that were good elsewhere: they and their mutants are candidates too.
    """
    drawn = [*good, *(space.draw(rng) for _ in range(RANDOM))]
    parents = [*front, *good]
    drawn += [mutant(space, parents[int(rng.integers(len(parents)))], rng) for _ in range(MUTANTS)]
    # Draws repeat in a small space.
    unique = {repr(sorted(config.items())): config for config in drawn}
    return [config for config in unique.values() if known.feasible(config)]


def mutant(space: Space, parent: Config, rng: np.random.Generator) -> Config:
    """The parent with about two of its settings changed. Settings that only now come into play are drawn."""
    share = min(1.0, 2 / max(len(parent), 1))

    def choose(key: str, distribution: Distribution) -> Value:
        if key not in parent:
            return distribution.draw(rng)
        return _near(distribution, parent[key], rng) if rng.random() < share else parent[key]

    return space.walk(choose)


def _near(distribution: Distribution, value: Value, rng: np.random.Generator) -> Value:
    """A value a little way off on the distribution's scale. Choices have no scale: any of them may be drawn."""
    if distribution.choice is not None:
        return distribution.draw(rng)
    low, high = distribution.int_ or distribution.float_ or (0, 1)
    assert isinstance(value, int | float)
    if distribution.log:
        moved = np.exp(np.log(value) + rng.normal(0, 0.15 * np.log(high / low)))
    else:
        moved = value + rng.normal(0, 0.15 * (high - low))
    moved = float(np.clip(moved, low, high))
    if distribution.int_ is None:
        return moved
    step = distribution.step or 1
    return int(low + step * round((moved - low) / step))
