"""Works out what configurations cost in MACs and parameters, once for each shape of student."""

from __future__ import annotations

import json

import numpy as np

from raysearch.encoder import cost
from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError
from raysearch.front.trials import Cost
from raysearch.spec.document import Spec
from raysearch.spec.space import Config

SHAPELESS = ("training.", "targets.", "prediction.", "ctc.", "backend.", "verification.", "augmentation.", "deploy.")
"""Beginnings of the keys of settings that no student's shape depends on. Heads and label sets are not counted."""
CHECKED = ("targets.layer", "targets.more", "targets.source")
"""Settings of these groups that a method compares with its teacher, and may refuse."""
REFERENCE_DRAWS = 256
"""Configurations that are drawn to find the largest cost of a space without a limit."""


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
        shape = json.dumps(
            {key: value for key, value in config.items() if key in CHECKED or not key.startswith(SHAPELESS)}
        )
        if shape not in self._known:
            self._known[shape] = encoder_cost(self._spec.student_config(config, self.teacher))
        return self._known[shape]


def encoder_cost(config: AnyConfig) -> Cost:
    """The parameters of an encoder, and its MACs over SUPERB's 32 lengths."""
    return Cost(macs_g=cost.macs_superb(config) / 1e9, params_m=cost.params(config) / 1e6)


def reference_point(spec: Spec, teacher: AnyConfig) -> list[float]:
    """The worst of each objective that counts: 100 % error, and the limit on a cost or the space's largest cost."""
    limits = {"macs": spec.constraints.macs_g, "params": spec.constraints.params_m}
    rng = np.random.default_rng(spec.search.seed)
    largest = {"macs": 0.0, "params": 0.0}
    for _ in range(REFERENCE_DRAWS):
        try:
            cost = encoder_cost(spec.student_config(spec.search_space.draw(rng), teacher))
        except InputError:  # this point has no student, and the searcher will refuse it when it is suggested
            continue
        largest = {"macs": max(largest["macs"], cost.macs_g), "params": max(largest["params"], cost.params_m)}
    # 1.05: configurations that were not drawn may cost a little more.
    return [100.0 if o not in limits else limits[o] or round(1.05 * largest[o], 1) for o in spec.objectives]
