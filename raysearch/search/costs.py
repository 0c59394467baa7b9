"""Works out what configurations cost in MACs and parameters, once for each shape of student."""

from __future__ import annotations

import json
import math

import numpy as np

from raysearch.encoder import cost
from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError
from raysearch.front.trials import Cost
from raysearch.spec.document import Spec
from raysearch.spec.space import Config

SHAPELESS = ("training.", "targets.", "prediction.", "ctc.", "backend.", "verification.", "augmentation.")
"""Beginnings of the keys of settings that no student's shape depends on. Heads and label sets are not counted."""


class Costs:
    """Called with a configuration, gives the cost of its student.

    Costs are kept by shape, since hundreds of candidates differ in few shapes.
    """

    def __init__(self, spec: Spec, teacher: AnyConfig) -> None:
        self._spec = spec
        self.teacher = teacher
        self._known: dict[str, Cost] = {}

    def __call__(self, config: Config) -> Cost:
        """The cost of the configuration's student.

        Raises: InputError if the configuration has no student.
        """
        shape = json.dumps({key: value for key, value in config.items() if not key.startswith(SHAPELESS)})
        if shape not in self._known:
            self._known[shape] = encoder_cost(self._spec.student_config(config, self.teacher))
        return self._known[shape]


def encoder_cost(config: AnyConfig) -> Cost:
    """The parameters of an encoder, and its MACs over SUPERB's 32 lengths."""
    return Cost(macs_g=cost.macs_superb(config) / 1e9, params_m=cost.params(config) / 1e6)


def draw_feasible(spec: Spec, costs: Costs, draws: int, rng: np.random.Generator) -> list[Config]:
    """Draws so many random configurations, and keeps those that have a student and are not over budget.

    Raises: InputError if fewer than two are left.
    """
    limits, found = spec.constraints, []
    for config in [spec.search_space.draw(rng) for _ in range(draws)]:
        try:
            one = costs(config)
        except InputError:  # no student has these settings, as a width that its heads do not divide
            continue
        if one.macs_g <= (limits.macs_g or math.inf) and one.params_m <= (limits.params_m or math.inf):
            found.append(config)
    if len(found) < 2:
        raise InputError(f"constraints: {len(found)} of {draws} drawn configurations keep them; expected more")
    return found
