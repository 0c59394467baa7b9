"""Memory: what past searches say of the configurations of this one, as a first guess of its errors.

A past search may have had another space, corpus or budget. So each past has a model of its own, of which only the order
that it puts configurations into is believed, and that as far as it agrees with the trials of this search.

Shapes: N observations of this search, P places to predict.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import kendalltau, norm, rankdata

from raysearch.errors import InputError, counted
from raysearch.front.objective import axes
from raysearch.search.memory.pasts import FEWEST_OWN, Past, Tried, judged_by, learns_from, standing, weight
from raysearch.search.study import PASTS, Study
from raysearch.search.surrogate import Observation, Surrogate
from raysearch.spec.document import Spec
from raysearch.spec.space import Config, Distribution, Space, Value

Array = NDArray[np.float64]
FEWEST = 4
"""Least complete trials of a past search from which anything can be learned."""
PROVED = 0.5
"""Kendall's tau with which a past has proved itself before the trials that begin a search have all ended."""
SHRINK = 2.0
"""So many observations count as much as the scale that errors had in the pasts."""
RANKED_SCALE = 0.3
"""Standard deviation of ln error that a past is taken to have had of which only ranks are believed."""


class Memory:
    """Guesses ln errors by past searches. It is made once for a search, and is the first guess of its surrogate."""

    def __init__(self, spec: Spec, pasts: Sequence[Past]) -> None:
        """Raises: InputError, naming the key, if a past has no setting in common with the search, or is too short."""
        self.pasts = list(pasts)
        error = axes(spec.objectives)[1]
        own = judged_by(spec.model_dump(mode="json", by_alias=True), error)
        self._models = []
        for position, past in enumerate(pasts):
            try:
                self._models.append(_Model(past, spec.search_space, alike=past.judged_by == own))
            except InputError as err:
                raise InputError(f"search.learn_from[{position}]: {past.name}: {err}") from err
        self.taus = [math.nan] * len(pasts)
        """Kendall's tau between what each past says and the errors of this search. NaN while there are too few."""
        self.judged_on = 0
        """Observations of this search by which the pasts were judged last."""
        self._weights = np.zeros(len(pasts))
        self._middle = self._offset = self._slope = 0.0

    def __str__(self) -> str:
        return learns_from(standing(self.pasts, self.taus, self.judged_on))

    @property
    def proved(self) -> bool:
        """Whether a past ranks the trials of this search so well that few of them are enough to say so."""
        return any(tau >= PROVED for tau in self.taus)

    def fit(self, configs: Sequence[Config], ln_errors_N: Array) -> bool:
        """Weighs the pasts by how they rank this search's trials, and scales them. Returns whether any counts."""
        if len(configs) < FEWEST_OWN:
            return False
        said = [model(configs) for model in self._models]
        taus = [float(kendalltau(guess_N, ln_errors_N).statistic) for guess_N in said]
        self.taus = [tau if math.isfinite(tau) else 0.0 for tau in taus]  # where all are alike, nothing has an order
        self.judged_on = len(configs)
        self._weights = np.array([weight(tau, self.judged_on) for tau in self.taus])
        if not self._weights.any():
            return False
        guess_N = self._mixed(said)
        self._middle, self._offset = float(guess_N.mean()), float(ln_errors_N.mean())
        scale = float(self._weights @ [model.ln_scale for model in self._models] / self._weights.sum())
        off_N = guess_N - self._middle
        slope = (float(off_N @ (ln_errors_N - self._offset)) + SHRINK * scale) / (float(off_N @ off_N) + SHRINK)
        self._slope = max(0.0, slope)
        return True

    def predict(self, configs: Sequence[Config]) -> Array:
        """The guessed ln errors, after `fit` has found a past that counts."""
        guess_P = self._mixed([model(configs) for model in self._models])
        return self._offset + self._slope * (guess_P - self._middle)

    def _mixed(self, said: Sequence[Array]) -> Array:
        mixed: Array = self._weights @ np.array(said) / self._weights.sum()
        return mixed

    @property
    def best(self) -> list[Config]:
        """The fronts of the pasts that count, as far as this space has their configurations."""
        counting = [model for model, weight in zip(self._models, self._weights, strict=True) if weight]
        return [config for model in counting for config in model.front]

    def keep(self, study: Study) -> None:
        """Keeps the pasts in the study, from which a search that is resumed has them."""
        packed = [past.packed() for past in self.pasts]
        if study.about.get(PASTS) != packed:
            study.note(PASTS, packed)


class _Model:
    """Predicts how a past search would rank configurations of this one."""

    def __init__(self, past: Past, space: Space, *, alike: bool) -> None:
        """`alike`: whether it judged by the same error, so that more than ranks are believed."""
        distributions = {key: Distribution.checked(one) for key, one in past.space.items()}
        _refuse_foreign(past, space, list(distributions))
        if past.complete < FEWEST:
            raise InputError(f"{counted(past.complete, 'complete trial')}; expected at least {FEWEST}")
        judged = [one for one in past.tried if one.error is not None]
        # An error of zero has no logarithm.
        ln_error_N = np.log([max(one.error or 0.0, 0.1) for one in judged])
        if not alike:
            ln_error_N = RANKED_SCALE * norm.ppf((rankdata(ln_error_N) - 0.5) / len(judged))
        self._middle, self.ln_scale = float(ln_error_N.mean()), float(ln_error_N.std()) or 1.0
        seen = [
            Observation(one.config, math.log(one.macs_g), {one.share: float(ln_error)})
            for one, ln_error in zip(judged, ln_error_N, strict=True)
        ]
        diverged = [one for one in past.tried if one.error is None]
        seen += [Observation(one.config, math.log(one.macs_g), {}, diverged=True) for one in diverged]
        # What only the past has searched explains its errors too.
        both = {key: _union(space.distributions.get(key, one), one) for key, one in distributions.items()}
        self._surrogate = Surrogate(Space(list(dict.fromkeys([*past.methods, *space.methods])), both))
        self._surrogate.fit(seen)
        rng = np.random.default_rng(0)
        members = (translated(one.config, space, rng) for one in _spread(_front(past)))
        self.front = [config for config in members if config is not None]
        """Its front as configurations of this space, of which the first ones are the most spread in cost."""

    def __call__(self, configs: Sequence[Config]) -> Array:
        """How bad configurations are expected to be, in standard deviations of the past's ln errors from their mean."""
        mean_P, _ = self._surrogate.predict(configs)
        return (mean_P - self._middle) / self.ln_scale


def _refuse_foreign(past: Past, space: Space, searched: Sequence[str]) -> None:
    """Refuses a past in which nothing varied that this search draws. Raises: InputError."""
    drawn = [*(["method"] if len(space.methods) > 1 else []), *space.distributions]
    varied = {key for key in drawn if len({repr(one.config.get(key)) for one in past.tried}) > 1}
    if varied == {"method"} and not {one.config["method"] for one in past.tried} & set(space.methods):
        varied = set()
    if not varied:
        what = ", ".join([*(["method"] if len(past.methods) > 1 else []), *searched]) or "nothing"
        raise InputError(f"it searched {what}; expected one of {', '.join(drawn) or 'nothing'}, as this search does")


def _front(past: Past) -> list[Tried]:
    """The complete trials that none beats in cost and error, by cost."""
    front: list[Tried] = []
    least = math.inf
    whole = [(one.macs_g, one.error, one) for one in past.tried if one.error is not None and one.share == 1]
    for _, error, one in sorted(whole, key=lambda found: found[:2]):
        if error < least:
            front.append(one)
            least = error
    return front


def _spread(front: Sequence[Tried]) -> list[Tried]:
    """The members by how far each lies, in ln MACs, from those before it. The first is the one in the middle."""
    left = list(front)
    chosen = [left.pop(len(left) // 2)] if left else []
    while left:
        chosen.append(max(left, key=lambda one: min(abs(math.log(one.macs_g / other.macs_g)) for other in chosen)))
        left.remove(chosen[-1])
    return chosen


def translated(config: Config, space: Space, rng: np.random.Generator) -> Config | None:
    """A past's configuration in this space. Numbers go to the nearest that it has; keys that the past lacks are drawn.

    None if a method or another word of it is no choice here.
    """
    if str(config["method"]) not in space.methods:
        return None
    foreign = False

    def choose(key: str, distribution: Distribution) -> Value:
        nonlocal foreign
        value = config.get(key)
        if value is not None and (near := _nearest(distribution, value)) is not None:
            return near
        foreign |= value is not None
        return distribution.draw(rng)

    found = space.walk(choose)
    return None if foreign else found


def _nearest(distribution: Distribution, value: Value) -> Value | None:
    """The nearest that a distribution has to a value; None if neither order nor name tells it."""
    choices = distribution.choice
    if choices is not None and value in choices:
        return value
    if not _numbers([value, *(choices or ())]):
        return None
    number = float(value)
    if choices is not None:
        return min(choices, key=lambda choice: abs(float(choice) - number))
    low, high = distribution.int_ or distribution.float_ or (0, 1)
    near = min(max(number, low), high)
    step = distribution.step or 1
    return near if distribution.int_ is None else int(low + step * math.floor((near - low) / step + 0.5))


def _numbers(values: Sequence[Any]) -> bool:
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)


def _union(own: Distribution, past: Distribution) -> Distribution:
    """A distribution that holds the values of both."""
    values = list(dict.fromkeys([*own.values(), *past.values()]))
    if (own.choice is not None and past.choice is not None) or not _numbers(values):
        return Distribution(choice=values)
    low, high = min(map(float, values)), max(map(float, values))
    return Distribution.checked({"float": (low, high), "log": own.log and low > 0})
