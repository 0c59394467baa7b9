"""Works out what configurations cost in MACs and parameters, once for each shape of student."""

from __future__ import annotations

import json

from raysearch.encoder import cost
from raysearch.encoder.config import AnyConfig
from raysearch.front.trials import Cost
from raysearch.spec.document import Spec
from raysearch.spec.space import Config

SHAPELESS = ("training.", "targets.", "prediction.", "ctc.", "backend.", "verification.", "augmentation.")
"""Beginnings of the keys of settings that no student's shape depends on. Heads and label sets are not counted."""
CHECKED = ("targets.layer", "targets.more", "targets.source")
"""Settings of these groups that a method compares with its teacher, and may refuse."""


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
