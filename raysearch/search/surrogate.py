"""The surrogate predicts the error of configurations that were not run: a Gaussian process on ln error over the space.

A search with two errors has a surrogate for each. Costs are exact and are not modelled. Trials that were stopped or
still run take part with the error that they are expected to end with, and with the uncertainty that such forecasts have
proved to have.

Shapes: N observations, P places to predict, F features.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_solve
from scipy.stats import norm
from sklearn.exceptions import ConvergenceWarning
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

from raysearch.spec.space import Config, Distribution, Space

Array = NDArray[np.float64]
NOISE = 0.02
"""Least standard deviation of ln error between runs of one configuration."""
MAX_ROWS = 250
"""Limit on the observations that the process is fitted on, since its time grows with their cube."""
INACTIVE = 0.5
"""Feature of a setting that a configuration does not have: the middle of the range."""


@dataclass(frozen=True)
class Observation:
    """What the surrogate of one error is told of one trial."""

    config: Config
    ln_macs: float
    ln_error: dict[float, float]
    """ln of the error by share of the budget, where 1.0 is the end. Empty if nothing is known yet."""
    diverged: bool = False
    """Whether the trial broke, so that its place counts as bad as the worst."""
    whole: bool = False
    """Whether the trial is complete. It may be so before the end of the budget, at rung 0. Then its error is that of a
    model that exists, and a forecast of what the same settings would end with after training."""

    @property
    def ended(self) -> float | None:
        """ln of the error of the model that the trial left. None if it left none."""
        if 1.0 in self.ln_error:
            return self.ln_error[1.0]
        return self.ln_error[max(self.ln_error)] if self.whole and self.ln_error else None


class Encoding:
    """Turns configurations into rows of features in [0, 1], one row for each."""

    def __init__(self, space: Space) -> None:
        self._space = space
        self._distributions = dict(space.distributions)
        if len(space.methods) > 1:
            self._distributions["method"] = Distribution(choice=list(space.methods))

    def __call__(self, configs: Sequence[Config]) -> Array:
        columns: list[Array] = []
        for key, distribution in self._distributions.items():
            columns += _columns(distribution, [config.get(key) for config in configs])
        return np.stack(columns, axis=1) if columns else np.empty((len(configs), 0))


def _columns(distribution: Distribution, values_P: Sequence[Any]) -> list[Array]:
    """The features of one setting, each as a column over all configurations."""
    if (choices := distribution.choice) is not None:
        if _ordered(choices):
            # Widths and cluster counts are choices among numbers, whose order says more than their names.
            ranks = {choice: rank / (len(choices) - 1) for rank, choice in enumerate(sorted(choices))}  # type: ignore[type-var]
            return [np.array([ranks.get(value, INACTIVE) for value in values_P])]
        return [
            np.array([INACTIVE if value is None else float(value == choice) for value in values_P])
            for choice in choices
        ]
    low, high = distribution.int_ or distribution.float_ or (0, 1)
    values = np.array([np.nan if value is None else value for value in values_P], dtype=float)
    if distribution.log:
        low, high, values = float(np.log(low)), float(np.log(high)), np.log(values)
    scaled = (values - low) / (high - low) if high > low else np.full(len(values), INACTIVE)
    return [np.where(np.isnan(scaled), INACTIVE, scaled)]


def _ordered(choices: Sequence[object]) -> bool:
    return len(choices) > 2 and all(isinstance(c, int | float) and not isinstance(c, bool) for c in choices)


class Guess(Protocol):
    """A first guess of ln errors, which may be wrong: the process models what is left of it."""

    def fit(self, configs: Sequence[Config], ln_errors_N: Array) -> bool:
        """Judges and scales the guess by what was observed. Returns False if it is worth nothing."""

    def predict(self, configs: Sequence[Config]) -> Array:
        """The guessed ln errors."""

    @property
    def best(self) -> Sequence[Config]:
        """Configurations that are guessed to be good for their cost."""


class Surrogate:
    """Predicts the ln of one error. It is made once for a search, and fitted before each suggestion."""

    def __init__(self, space: Space, guess: Guess | None = None) -> None:
        """`guess`: what is known before anything is observed. It takes part while it explains what is observed."""
        self._encode = Encoding(space)
        self._guess = guess
        self._plain, self._guided = _Process(), _Process()
        self.guided = False
        """Whether the guess took part in the last fit."""

    def fit(self, observations: Sequence[Observation]) -> bool:
        """Takes in what is known. Returns False while that is too little to model."""
        seen = [o for o in observations if o.ln_error or o.diverged]
        if sum(bool(o.ln_error) for o in seen) < 3:
            return False
        targets_N, variance_N = expected_ends(seen)
        seen, targets_N, variance_N = _newest(seen, targets_N, variance_N)
        configs = [o.config for o in seen]
        x_NF = self._encode(configs)
        self._process = self._plain
        self._plain.fit(x_NF, targets_N, variance_N)
        self.guided = False
        if self._guess and self._guess.fit(configs, targets_N):
            self._guided.fit(x_NF, targets_N - self._guess.predict(configs), variance_N)
            self.guided = self._guided.fits_better_than(self._plain)
            self._process = self._guided if self.guided else self._plain
        return True

    @property
    def known(self) -> Sequence[Config]:
        """Configurations that are good by the guess, if it takes part."""
        return self._guess.best if self._guess and self.guided else ()

    def _guessed(self, configs: Sequence[Config]) -> Array:
        return self._guess.predict(configs) if self._guess and self.guided else np.zeros(len(configs))

    def believe(self, pending: Sequence[Config]) -> Array:
        """Takes pending trials as if they had ended where they are expected to. Returns their expected ln errors."""
        mean_P = self._process.believe(self._encode(pending))
        return mean_P + self._guessed(pending)

    def predict(self, configs: Sequence[Config]) -> tuple[Array, Array]:
        """Mean and standard deviation of the ln error that training would end with, without the noise of one run."""
        mean_P, sd_P = self._process.predict(self._encode(configs))
        return mean_P + self._guessed(configs), sd_P


class _Process:
    """A Gaussian process on numbers of any scale. What it has learned of its kernel lasts from fit to fit."""

    def __init__(self) -> None:
        self._kernel = None
        self._fitted_on = 0

    def fit(self, x_NF: Array, targets_N: Array, variance_N: Array) -> None:
        self._mean, self._scale = float(targets_N.mean()), float(targets_N.std()) or 1.0
        y_N = (targets_N - self._mean) / self._scale
        # The kernel is searched for only when the data has grown by a quarter: that is most of the time of a fit.
        grown = len(x_NF) >= 1.25 * self._fitted_on or self._kernel is None
        self._regressor = GaussianProcessRegressor(
            self._kernel or _kernel(x_NF.shape[1]),
            alpha=variance_N / self._scale**2,
            optimizer="fmin_l_bfgs_b" if grown else None,
        )
        with warnings.catch_warnings():
            # scikit-learn warns of a length scale at its bound, but that is what the bounds are for.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._regressor.fit(x_NF, y_N)
        if grown:
            self._kernel, self._fitted_on = self._regressor.kernel_, len(x_NF)
        self._x_NF, self._y_N, self._alpha_N = x_NF, y_N, variance_N / self._scale**2

    def believe(self, x_PF: Array) -> Array:
        mean_P, _ = self.predict(x_PF)
        x_NF = np.concatenate([self._x_NF, x_PF])
        y_N = np.concatenate([self._y_N, (mean_P - self._mean) / self._scale])
        alpha_N = np.concatenate([self._alpha_N, np.full(len(x_PF), NOISE**2 / self._scale**2)])
        kernel = self._regressor.kernel_
        self._regressor = GaussianProcessRegressor(kernel, alpha=alpha_N, optimizer=None).fit(x_NF, y_N)
        return mean_P

    def predict(self, x_PF: Array) -> tuple[Array, Array]:
        # The process predicts runs. Their noise is taken off, since the front wants the configuration, not one run.
        mean_P, sd_P = self._regressor.predict(x_PF, return_std=True)
        white = float(self._regressor.kernel_.k2.noise_level)
        sd_P = np.sqrt(np.maximum(sd_P**2 - white, 1e-8))
        return mean_P * self._scale + self._mean, sd_P * self._scale

    @property
    def left_out(self) -> float:
        """ln density of the observations, each predicted from all others."""
        inverse_NN = cho_solve((self._regressor.L_, True), np.eye(len(self._y_N)))
        variance_N = 1 / np.diag(inverse_NN)
        off_N = inverse_NN @ self._y_N * variance_N
        return float(norm.logpdf(off_N * self._scale, scale=np.sqrt(variance_N) * self._scale).sum())

    def fits_better_than(self, other: _Process) -> bool:
        """Whether it predicts observations better that it has not seen."""
        return self.left_out > other.left_out


def _kernel(features: int) -> object:
    # The bounds keep a few observations from making one setting mean everything or nothing.
    matern = Matern(length_scale=np.full(features, 1.6), length_scale_bounds=(0.5, 6.0), nu=2.5)
    return ConstantKernel(1.0, (0.3, 10.0)) * matern + WhiteKernel(0.02, (1e-3, 0.2))


def expected_ends(seen: Sequence[Observation]) -> tuple[Array, Array]:
    """ln of the final error of each trial, measured or expected, and its variance."""
    finals = [o for o in seen if 1.0 in o.ln_error]
    forecasts = {share: _forecast(finals, share) for share in {s for o in seen for s in o.ln_error if s < 1.0}}
    targets_N, variance_N = np.full(len(seen), np.nan), np.full(len(seen), NOISE**2)
    for i, observation in enumerate(seen):
        if 1.0 in observation.ln_error:
            targets_N[i] = observation.ln_error[1.0]
        elif observation.ln_error:
            share = max(observation.ln_error)
            fall, variance = forecasts[share](observation)
            targets_N[i] = observation.ln_error[share] + fall
            variance_N[i] += variance
    # What diverged has no error of its own and counts as the worst that was seen.
    worst = np.nanmax(targets_N)
    targets_N = np.where(np.isnan(targets_N), worst, targets_N)
    # One collapsed trial must not set the scale for all.
    ceiling = np.quantile(targets_N, 0.9) + 0.7
    return np.minimum(targets_N, ceiling), variance_N


def _forecast(finals: Sequence[Observation], share: float) -> Callable[[Observation], tuple[float, float]]:
    """A function that says how much ln error still changes from a rung to the end, and the variance of that.

    It is a ridge regression on ln MACs and the method, since large students and other methods have other curves. It
    learns from the trials that have been at both.
    """
    pairs = [(o, o.ln_error[1.0] - o.ln_error[share]) for o in finals if share in o.ln_error]
    # Too few trials for a regression: their mean, with a standard deviation of 0.15, has to do.
    if len(pairs) < 4:
        fall = float(np.mean([p[1] for p in pairs])) if pairs else 0.0
        return lambda _: (fall, 0.15**2)
    fall_N = np.array([fall for _, fall in pairs])
    middle = float(np.mean([o.ln_macs for o, _ in pairs]))
    methods = sorted({str(o.config["method"]) for o, _ in pairs})

    def features(o: Observation) -> list[float]:
        return [1.0, o.ln_macs - middle, *(float(o.config["method"] == method) for method in methods)]

    x_NF = np.array([features(o) for o, _ in pairs])
    # The intercept is hardly penalised: only what differs by size and method is shrunk.
    penalty = np.diag([0.01] + [1.0] * (x_NF.shape[1] - 1))
    weights_F = np.linalg.solve(x_NF.T @ x_NF + penalty, x_NF.T @ fall_N)
    variance = float(np.mean((fall_N - x_NF @ weights_F) ** 2))
    return lambda o: (float(weights_F @ features(o)), variance)


def _newest(seen: list[Observation], targets_N: Array, variance_N: Array) -> tuple[list[Observation], Array, Array]:
    """At most `MAX_ROWS` observations: half of them the newest, and half the best for their cost of the older ones."""
    if len(seen) <= MAX_ROWS:
        return seen, targets_N, variance_N
    macs_N = np.array([o.ln_macs for o in seen])
    slope, offset = np.polyfit(macs_N, targets_N, 1)
    residual_N = targets_N - (slope * macs_N + offset)
    old = len(seen) - MAX_ROWS // 2
    keep = np.sort(
        np.concatenate([np.argsort(residual_N[:old])[: MAX_ROWS - MAX_ROWS // 2], np.arange(old, len(seen))])
    )
    return [seen[i] for i in keep], targets_N[keep], variance_N[keep]
