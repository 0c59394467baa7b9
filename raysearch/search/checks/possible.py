"""Finds settings that this teacher makes impossible, and limits that no student keeps, before anything starts.

A document is right by itself when it comes here. What it asks for may still have no student: a layer that the teacher
lacks, or a space whose cheapest student is over budget.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import numpy as np

from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError
from raysearch.search.costs import Costs
from raysearch.spec.document import Spec
from raysearch.spec.space import Config, Distribution, Space, Value
from raysearch.teachers.settings import ReadyTeacher
from raysearch.teachers.shape import known_shape, ready_key

DRAWS = 64
"""Configurations of each method that are drawn."""
TRIES = 8
"""Configurations that are drawn with one value. The value is impossible if the same setting is wrong in all of them."""
LISTED = 64
"""Most values of a setting that are all tried. Of longer ranges only both ends are."""


def refuse_beforehand(spec: Spec) -> None:
    """Refuses a teacher that is not there, and what `refuse_impossible` refuses where the teacher's shape is known.

    It takes a tenth of a second, and needs neither Ray nor weights nor the corpus.
    Raises: InputError naming the key.
    """
    if isinstance(spec.teacher, ReadyTeacher):
        ready_key(spec.teacher)
    if shape := known_shape(spec.teacher):
        refuse_impossible(spec, shape)


def refuse_impossible(spec: Spec, teacher: AnyConfig) -> None:
    """Refuses a space of which a method, or a value, has no student with this teacher, or none within the limits.

    Raises: InputError naming the key, and of a limit the cost of the smallest student.
    """
    costs, rng = Costs(spec, teacher), np.random.default_rng(spec.search.seed)
    possible: list[Config] = []
    for method in spec.methods:
        space = Space([method], spec.space)
        drawn = [(config, _fault(costs, config)) for config in (space.draw(rng) for _ in range(DRAWS))]
        _refuse_values(space, costs, rng)
        own = [config for config, fault in drawn if not fault]
        if not own:
            fault = drawn[0][1]
            raise InputError(fault if len(spec.methods) == 1 else f"method {method}: {fault}")
        possible += own
    _refuse_limits(spec, costs, possible, rng)
    _refuse_start(spec, costs, rng)


def draw_possible(spec: Spec, teacher: AnyConfig) -> list[Config]:
    """Configurations of the space that have a student with this teacher, some of each method that has any."""
    costs, rng = Costs(spec, teacher), np.random.default_rng(spec.search.seed)
    drawn = [Space([method], spec.space).draw(rng) for method in spec.methods for _ in range(DRAWS)]
    return [config for config in drawn if not _fault(costs, config)]


def draw_feasible(spec: Spec, costs: Costs, draws: int, rng: np.random.Generator) -> list[Config]:
    """Draws so many random configurations, and keeps those that have a student and are not over budget.

    Raises: InputError if fewer than two are left.
    """
    drawn = [spec.search_space.draw(rng) for _ in range(draws)]
    found = [config for config in drawn if not _fault(costs, config) and _share(spec, costs, config) <= 1]
    if len(found) < 2:
        raise InputError(f"constraints: {len(found)} of {draws} drawn configurations keep them; expected more")
    return found


def _fault(costs: Costs, config: Config) -> str:
    """Why a configuration has no student, empty if it has one."""
    try:
        costs(config)
    except InputError as err:
        return str(err)
    return ""


def _refuse_values(space: Space, costs: Costs, rng: np.random.Generator) -> None:
    for key, distribution in space.distributions.items():
        for value in _listed(distribution):
            fault = _always(costs, _with(space, {key: value}, rng), key)
            if fault:
                raise InputError(f"space.{fault}")


def _refuse_start(spec: Spec, costs: Costs, rng: np.random.Generator) -> None:
    for position, point in enumerate(spec.search.start):
        # What a point leaves out is drawn when it is suggested. So is the method, unless it is named.
        method = point.get("method", spec.methods[0])
        if "method" in point or len(spec.methods) == 1:
            for key in point:
                if fault := _always(costs, _with(Space([str(method)], spec.space), point, rng), key):
                    raise InputError(f"search.start[{position}].{fault}")
            if fault := _never(spec, costs, list(_with(Space([str(method)], spec.space), point, rng))):
                raise InputError(f"search.start[{position}]: {fault}")


def _never(spec: Spec, costs: Costs, configs: list[Config]) -> str:
    """Why none of some configurations may be trained: none has a student, or none within the limits. Else empty."""
    faults = [_fault(costs, config) for config in configs]
    if all(faults):
        return faults[0]
    own = [config for config, fault in zip(configs, faults, strict=True) if not fault]
    least = min(own, key=lambda config: _share(spec, costs, config))
    if _share(spec, costs, least) <= 1:
        return ""
    cost, limits = costs(least), spec.constraints
    asked = [
        f"constraints.{key}: {limit:g}"
        for key, limit in (("macs_g", limits.macs_g), ("params_m", limits.params_m))
        if limit is not None
    ]
    return f"{cost.macs_g:.4g} GMAC and {cost.params_m:.4g} M parameters; expected a point within {', '.join(asked)}"


def _always(costs: Costs, configs: Iterator[Config], key: str) -> str:
    """What is wrong with a setting in all configurations that have it. Empty if it is right in one, or none has it."""
    fault = ""
    for config in configs:
        if key in config:
            fault = _fault(costs, config)
            if not fault.startswith(f"{key}:"):
                return ""
    return fault


def _with(space: Space, fixed: Mapping[str, Value], rng: np.random.Generator) -> Iterator[Config]:
    """Configurations with some values fixed and the others drawn."""
    return (_completed(space, fixed, rng) for _ in range(TRIES))


def _completed(space: Space, fixed: Mapping[str, Value], rng: np.random.Generator) -> Config:
    """A configuration with some values fixed, as far as they matter, and the others drawn."""
    return space.walk(lambda key, distribution: fixed[key] if key in fixed else distribution.draw(rng))


def _listed(distribution: Distribution) -> list[Value]:
    # The ends of a range of shares may well be out of reach. The searcher passes over them.
    return [] if distribution.float_ is not None else distribution.values(LISTED)


def _refuse_limits(spec: Spec, costs: Costs, possible: list[Config], rng: np.random.Generator) -> None:
    best = min(possible, key=lambda config: _share(spec, costs, config))
    if _share(spec, costs, best) > 1:
        cheapest = [_cheaper(spec, costs, config, rng) for config in _cheapest_of_each(spec, costs, possible)]
        best = min(cheapest, key=lambda config: _share(spec, costs, config))
    cost = costs(best)
    settings = ", ".join(f"{key} {value}" for key, value in best.items())
    for key, limit, least, unit in (
        ("macs_g", spec.constraints.macs_g, cost.macs_g, "GMAC"),
        ("params_m", spec.constraints.params_m, cost.params_m, "M parameters"),
    ):
        if limit is not None and least > limit:
            raise InputError(
                f"constraints.{key}: {limit:g}; expected at least {_up(least):g}: "
                f"the smallest configuration has {least:.4g} {unit} ({settings})"
            )


def _cheapest_of_each(spec: Spec, costs: Costs, possible: list[Config]) -> list[Config]:
    own = ([config for config in possible if config["method"] == method] for method in spec.methods)
    return [min(configs, key=lambda config: _share(spec, costs, config)) for configs in own]


def _cheaper(spec: Spec, costs: Costs, config: Config, rng: np.random.Generator) -> Config:
    """The cheapest configuration that is found by changing one setting after the other."""
    space = Space([str(config["method"])], spec.space)
    least = _share(spec, costs, config)
    improved = True
    while improved:
        improved = False
        for key in [key for key in config if key in space.distributions]:
            for value in space.distributions[key].values(LISTED):
                other = _completed(space, {**config, key: value}, rng)
                if not _fault(costs, other) and _share(spec, costs, other) < least:
                    config, least, improved = other, _share(spec, costs, other), True
    return config


def _share(spec: Spec, costs: Costs, config: Config) -> float:
    """The cost as a share of the limit that it is nearest to, or farthest above. Above 1 it is over budget."""
    cost, limits = costs(config), spec.constraints
    return max(cost.macs_g / (limits.macs_g or math.inf), cost.params_m / (limits.params_m or math.inf))


def _up(number: float) -> float:
    """The number with three significant digits, rounded up."""
    unit = 10.0 ** (math.floor(math.log10(number)) - 2)
    return math.ceil(number / unit) * unit
