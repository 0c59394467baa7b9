"""Proposes the configuration by which the front is expected to grow most.

The measure is the expected improvement of the hypervolume, the area between the front and a reference point. Since MACs
are known exactly and only the error is uncertain, it has a closed form.

Shapes: P candidates, K steps of the staircase.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from raysearch.search.surrogate import Observation, Surrogate
from raysearch.spec.space import Config, Distribution, Space, Value

Array = NDArray[np.float64]
RANDOM, MUTANTS = 300, 200
"""Candidates for a proposal: how many are drawn from the space, and how many are changed from members of the front."""


class Proposal(NamedTuple):
    """A candidate, and what it is worth."""

    config: Config
    gain: float
    """Largest expected growth of the hypervolume by any candidate, as a share of the hypervolume that there is."""


def propose(
    space: Space,
    surrogate: Surrogate,
    observations: Sequence[Observation],
    ln_macs: Callable[[Config], float],
    feasible: Callable[[Config], bool],
    rng: np.random.Generator,
) -> Proposal | None:
    """The candidate from which the front is expected to gain most for its cost. None while too little is known.

    `feasible` says whether a configuration may be run, and has not been run yet.
    """
    if not surrogate.fit(observations):
        return None
    done = [(o.ln_macs, float(np.exp(o.ended))) for o in observations if o.ended is not None]
    if len(done) < 2:
        return None
    pending = [o for o in observations if not o.ln_error and not o.diverged]
    # Trials that still run count as if they had ended where they are expected to: lanes must not ask for the same.
    if pending:
        believed = surrogate.believe([o.config for o in pending])
        done += [(o.ln_macs, float(np.exp(mean))) for o, mean in zip(pending, believed, strict=True)]
    candidates = _candidates(space, observations, feasible, rng, surrogate.known)
    if not candidates:
        return None
    macs_P = np.array([ln_macs(config) for config in candidates])
    mean_P, sd_P = surrogate.predict(candidates)
    # The worst quarter of the errors lies beyond the reference: one collapsed trial would stretch the area for all.
    # In cost it lies a little beyond the dearest candidate, which could gain nothing otherwise.
    reference = (max(*(m for m, _ in done), macs_P.max()) + 0.05, float(np.quantile([e for _, e in done], 0.75)))
    steps_K3 = staircase(done, reference)
    gain_P = expected_gain(macs_P, mean_P, sd_P, steps_K3)
    # The gain is divided by the root of the cost: of two trials with one gain the cheaper is worth more, but cheapness
    # alone is no gain. The cost is in MACs: with measured seconds the same seed would suggest other trials another day.
    best = candidates[int(np.argmax(gain_P * np.exp(-0.5 * macs_P)))]
    return Proposal(best, float(gain_P.max()) / max(_area(steps_K3, reference[1]), 1e-12))


def staircase(done: Sequence[tuple[float, float]], reference: tuple[float, float]) -> Array:
    """The front as steps up to the reference: rows of (from ln MACs, to ln MACs, error to beat between them)."""
    limit, worst = reference
    # Left of the cheapest point nothing is known, so that any error below the reference is a gain.
    steps, at, level = [], -np.inf, worst
    for ln_macs, error in sorted(done):
        if error < level and ln_macs < limit:
            if ln_macs > at:
                steps.append((at, ln_macs, level))
            at, level = ln_macs, error
    steps.append((at, limit, level))
    return np.array(steps, dtype=float)


def _area(steps_K3: Array, worst: float) -> float:
    """The area between a staircase and the reference. Left of the cheapest point there is none."""
    low_K, high_K, level_K = steps_K3[steps_K3[:, 2] < worst].T
    return float(((high_K - low_K) * (worst - level_K)).sum())


def expected_gain(macs_P: Array, mean_P: Array, sd_P: Array, steps_K3: Array) -> Array:
    """Expected growth (P) of the area between staircase and reference, if errors are lognormal: exp(N(mean, sd)).

    Source: Emmerich et al., expected hypervolume improvement, with one of two objectives known exactly.
    """
    low_K, high_K, level_K = steps_K3.T
    width_PK = np.maximum(0.0, high_K - np.maximum(low_K, macs_P[:, None]))
    z_PK = (np.log(level_K) - mean_P[:, None]) / sd_P[:, None]
    # E[max(0, level - error)] of a lognormal error, which needs no sampling.
    mean_error_P = np.exp(mean_P + sd_P**2 / 2)
    shortfall_PK = level_K * norm.cdf(z_PK) - mean_error_P[:, None] * norm.cdf(z_PK - sd_P[:, None])
    gain_P: Array = (width_PK * np.maximum(shortfall_PK, 0.0)).sum(axis=1)
    return gain_P


def _candidates(
    space: Space,
    observations: Sequence[Observation],
    feasible: Callable[[Config], bool],
    rng: np.random.Generator,
    known: Sequence[Config],
) -> list[Config]:
    """Random configurations and mutants of the front, without those that may not be run or need not be run again.

    `known` are configurations that were good elsewhere: they and their mutants are candidates too.
    """
    front, best = [], np.inf
    ended = [(o.ln_macs, o.ended, o.config) for o in observations if o.ended is not None]
    for _, ln_error, config in sorted(ended, key=lambda one: one[:2]):
        if ln_error < best:
            front.append(config)
            best = ln_error
    drawn = [*known, *(space.draw(rng) for _ in range(RANDOM))]
    front += known
    drawn += [mutant(space, front[int(rng.integers(len(front)))], rng) for _ in range(MUTANTS)]
    # Draws repeat in a small space.
    unique = {repr(sorted(config.items())): config for config in drawn}
    return [config for config in unique.values() if feasible(config)]


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
