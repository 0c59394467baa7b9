"""Says from a search's document which label sets its trials will ask for.

This file does not import torch.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from raysearch.methods.table import load_method
from raysearch.spec.document import Spec
from raysearch.spec.space import Config, Space, has_setting
from raysearch.targets.settings import PseudoLabelSettings, TargetSettings

AnyTargets = TargetSettings | PseudoLabelSettings


def targets_model(method: str) -> type[AnyTargets] | None:
    """The class of the settings by which a method asks the store for labels. None if it asks for none."""
    field = load_method(method).Settings.model_fields.get("targets")
    model = field.annotation if field else None
    return model if isinstance(model, type) and issubclass(model, AnyTargets) else None


def asked_targets(spec: Spec, config: Config) -> Sequence[AnyTargets]:
    """The labels that a trial asks the store for. The configuration may lack settings of other groups."""
    method = str(config["method"])
    model = targets_model(method)
    if model is None or not _asks(spec, config):
        return []
    prefix = "targets."
    fixed = {key: value for key, value in spec.targets.items() if has_setting(method, f"{prefix}{key}")}
    searched = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
    targets = model.model_validate({**fixed, **searched})
    return targets.each() if isinstance(targets, TargetSettings) else [targets]


def wanted_targets(spec: Spec, method: str) -> list[AnyTargets]:
    """The labels that the method's trials may ask for. The same may come twice.

    Of a setting that is searched in a range, only the values that `search.start` names are known.
    """
    known = (config for config in _target_configs(spec, method) if None not in config.values())
    return [targets for config in known for targets in asked_targets(spec, config)]


def searched_ranges(spec: Spec, method: str) -> list[str]:
    """Keys of the method's label sets that the search draws from a range, so that their values are not known yet."""
    asking = [config for config in _target_configs(spec, method) if _asks(spec, config)]
    return [key for key in _ranges(spec, method) if any(key in config for config in asking)]


def asks_for_labels(spec: Spec, method: str) -> bool:
    """Whether any of the method's trials may ask for labels."""
    return targets_model(method) is not None and any(_asks(spec, config) for config in _target_configs(spec, method))


def _asks(spec: Spec, config: Config) -> bool:
    """Whether the configuration meets all conditions under which the method asks for labels."""
    method = str(config["method"])
    conditions = _labels_when(method).items()
    return all(config.get(key, spec.unsearched(method, key)) in wanted for key, wanted in conditions)


def _labels_when(method: str) -> Mapping[str, tuple[Any, ...]]:
    """The conditions under which a method's trials ask for labels: settings and the values they must have.

    Most methods have no condition, and all of their trials ask.
    """
    return getattr(load_method(method), "labels_when", {})


def _searched(spec: Spec, method: str) -> list[str]:
    return [key for key in spec.space if key.startswith("targets.") and has_setting(method, key)]


def _ranges(spec: Spec, method: str) -> list[str]:
    return [key for key in _searched(spec, method) if spec.space[key].choice is None]


def _target_configs(spec: Spec, method: str) -> Iterator[Config]:
    """Configurations of the space, with only the keys that label sets depend on. None is a value not known yet."""
    ranges = _ranges(spec, method)
    keys = [*_searched(spec, method), *(key for key in _labels_when(method) if key in spec.space)]
    # Keys of conditions count too, and those of their own conditions: the list grows while it is walked.
    for key in keys:
        keys += [other for other in spec.space[key].when if other in spec.space and other not in keys]
    space = Space([method], {key: spec.space[key] for key in keys})
    for point in ({}, *spec.search.start):
        if point.get("method", method) != method:
            continue
        values: list[list[Any]] = [
            [point[key]] if key in point else [None] if key in ranges else spec.space[key].values() for key in keys
        ]
        for chosen in product(*values):
            yield _walked(space, dict(zip(keys, chosen, strict=True)))


def _walked(space: Space, given: Mapping[str, Any]) -> Config:
    return space.walk(lambda key, _: given[key])
