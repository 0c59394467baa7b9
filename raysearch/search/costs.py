"""Works out what configurations cost: MACs and parameters, once for each shape, and what a device charges for them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

from raysearch.encoder import cost
from raysearch.encoder.config import AnyConfig
from raysearch.errors import InputError
from raysearch.front.trials import Cost
from raysearch.spec.document import CHARGES, COST_OBJECTIVES, Spec
from raysearch.spec.space import Config

if TYPE_CHECKING:
    from raysearch.exported.device import Charge
    from raysearch.search.charging.charges import Charges

SHAPELESS = ("training.", "targets.", "prediction.", "ctc.", "backend.", "verification.", "augmentation.", "deploy.")
"""Beginnings of the keys of settings that no student's shape depends on. Heads and label sets are not counted."""
CHECKED = ("targets.layer", "targets.more", "targets.source")
"""Settings of these groups that a method compares with its teacher, and may refuse."""
REFERENCE_DRAWS = 256
"""Configurations that are drawn to find the largest cost of a space without a limit."""


class Costs:
    """Called with a configuration, gives the cost of its student.

    Costs are kept by shape, since hundreds of candidates differ in few shapes. Where a document asks for size or
    latency, they are as `charges` foresees them.
    """

    def __init__(self, spec: Spec, teacher: AnyConfig, charges: Charges | None = None) -> None:
        self._spec = spec
        self.teacher = teacher
        self._charges = charges
        self._known: dict[str, tuple[Cost, AnyConfig]] = {}

    def __call__(self, config: Config) -> Cost:
        """The cost of the configuration's student.

        Raises: InputError if the configuration has no student.
        """
        exact, student = self._exact(config)
        if self._charges is None:
            return exact
        return _charged(exact, self._charges.foreseen(student, self._spec.deploy_of(config).precision))

    def exact(self, config: Config) -> Cost:
        """The same without what a device charges: only what is known for sure. Raises: as above."""
        return self._exact(config)[0]

    def measured(self, config: Config) -> Cost:
        """The cost with all that a device charges, which is measured now unless it was before. Raises: as above."""
        exact, student = self._exact(config)
        if self._charges is None:
            return exact
        return _charged(exact, self._charges.measured(student, self._spec.deploy_of(config).precision))

    def _exact(self, config: Config) -> tuple[Cost, AnyConfig]:
        shape = json.dumps(
            {key: value for key, value in config.items() if key in CHECKED or not key.startswith(SHAPELESS)}
        )
        if shape not in self._known:
            student = self._spec.student_config(config, self.teacher)
            self._known[shape] = encoder_cost(student), student
        return self._known[shape]


def encoder_cost(config: AnyConfig) -> Cost:
    """The parameters of an encoder, and its MACs over SUPERB's 32 lengths."""
    return Cost(macs_g=cost.macs_superb(config) / 1e9, params_m=cost.params(config) / 1e6)


def _charged(exact: Cost, charge: Charge) -> Cost:
    found = {
        "size_mb": charge.size_mb,
        "latency_ms": charge.latency_ms,
        "latency_low_ms": charge.low_ms,
        "latency_high_ms": charge.high_ms,
    }
    return exact.model_copy(update={name: value for name, value in found.items() if not np.isnan(value)})


def reference_point(spec: Spec, costs: Costs) -> list[float]:
    """The worst of each objective that counts: 100 % error, and the limit on a cost or the space's largest cost."""
    limits = spec.constraints
    bounds = {"macs": limits.macs_g, "params": limits.params_m, "size": limits.size_mb, "latency": limits.latency_ms}
    rng = np.random.default_rng(spec.search.seed)
    largest = dict.fromkeys(COST_OBJECTIVES, 0.0)
    for _ in range(REFERENCE_DRAWS):
        try:
            cost = costs(spec.search_space.draw(rng))
        except InputError:  # this point has no student, and the searcher will refuse it when it is suggested
            continue
        largest = {name: max(most, cost.of(name)) for name, most in largest.items()}
    # 1.05: configurations that were not drawn may cost a little more.
    worst = {name: 1.05 * most for name, most in largest.items()}
    # Files of less than a megabyte need more digits than MACs.
    rounded = {name: float(f"{most:.3g}") if name in CHARGES else round(most, 1) for name, most in worst.items()}
    return [100.0 if o not in bounds else bounds[o] or rounded[o] for o in spec.objectives]
