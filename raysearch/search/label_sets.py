"""The label sets that a search's trials will ask for, known from its document and made before it begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import product
from typing import Any

import torch

from raysearch.methods.table import load_method
from raysearch.search.folder import SearchFolder
from raysearch.search.run import checked_corpus
from raysearch.search.space import Config, Space, has_setting
from raysearch.spec import Spec
from raysearch.targets.build import label_key
from raysearch.targets.features import resolve_layer
from raysearch.targets.pseudo_labels import pseudo_label_digest
from raysearch.targets.settings import PseudoLabelSettings, TargetSettings
from raysearch.training.teacher import find_teacher, prepare_teacher
from raysearch.training.workplace import Workplace

AnyTargets = TargetSettings | PseudoLabelSettings


@dataclass(frozen=True)
class Made:
    """A label set that is in the store now."""

    id: str
    """Its folder's name in the store."""
    kind: str
    """`label set`: an id per frame; `pseudo-labels`: one per training cut."""
    clusters: int
    layer: int
    """Block of the teacher, counted from 1; 0 for MFCCs."""
    bytes: int
    seconds: float | None
    """None if it was there already."""


def targets_model(method: str) -> type[AnyTargets] | None:
    """The settings of what a method asks the store for; None if it asks for no labels."""
    field = load_method(method).Settings.model_fields.get("targets")
    model = field.annotation if field else None
    return model if isinstance(model, type) and issubclass(model, AnyTargets) else None


def searched_ranges(spec: Spec, method: str) -> list[str]:
    """Keys of the method's label sets that a search draws from a range: nobody knows yet which values."""
    return [key for key in _searched(spec, method) if spec.space[key].choice is None]


def wanted_targets(spec: Spec, method: str) -> list[AnyTargets]:
    """What the method's trials may ask for, some of it twice; of a searched range only what `search.start` names."""
    model = targets_model(method)
    if model is None:
        return []
    fixed = {key: value for key, value in spec.targets.items() if has_setting(method, f"targets.{key}")}
    prefix, found = "targets.", []
    for config in _target_configs(spec, method):
        searched = {key.removeprefix(prefix): value for key, value in config.items() if key.startswith(prefix)}
        found.append(model.model_validate({**fixed, **searched}))
    return found


def _searched(spec: Spec, method: str) -> list[str]:
    return [key for key in spec.space if key.startswith("targets.") and has_setting(method, key)]


def _target_configs(spec: Spec, method: str) -> Iterator[Config]:
    """Configurations of the space without the keys on which no label set depends."""
    keys, ranges = _searched(spec, method), searched_ranges(spec, method)
    for key in keys:  # conditions too, and theirs: the list grows while it is walked
        keys += [other for other in spec.space[key].when if other in spec.space and other not in keys]
    space = Space([method], {key: spec.space[key] for key in keys})
    for point in ({}, *spec.search.start):
        if point.get("method", method) != method:
            continue
        values: list[list[Any]] = [
            [point[key]] if key in point else [None] if key in ranges else spec.space[key].values() for key in keys
        ]
        for chosen in product(*values):
            config = _walked(space, dict(zip(keys, chosen, strict=True)))
            if None not in config.values():
                yield config


def _walked(space: Space, given: Mapping[str, Any]) -> Config:
    return space.walk(lambda key, _: given[key])


def make_label_sets(
    spec: Spec, folder: SearchFolder, device: torch.device, say: Callable[[str], None]
) -> Iterator[Made]:
    """Puts the teacher and all label sets into the store from which the trials take theirs, unless they are there.

    Raises: InputError if the teacher has no such layer, or there are more clusters than frames or cuts.
    """
    corpus, teachers = checked_corpus(spec, folder, say), folder.store.teachers
    if find_teacher(spec.teacher, corpus, teachers) is None:
        say("teacher: preparing (once; searches take it from the store)")
    workplace = Workplace(spec, folder.store, prepare_teacher(spec.teacher, corpus, teachers, device), device)
    errors = (f"{name} {value:.4g}" for name, value in workplace.teacher.metrics.items())
    say(", ".join([f"teacher {workplace.teacher.key}", *errors]))
    wanted = [settings for method in spec.methods for settings in wanted_targets(spec, method)]
    # All ids before the first is built: a layer that the teacher lacks is refused before the work.
    for place, settings in {_place(settings, workplace): settings for settings in wanted}.items():
        yield _made(*place, settings, workplace)


def _place(settings: AnyTargets, workplace: Workplace) -> tuple[str, int]:
    """Digest in the store, and block of the teacher."""
    teacher, corpus = workplace.teacher, workplace.corpus
    if isinstance(settings, TargetSettings):
        key = label_key(settings, teacher, corpus)
        return key.digest, key.layer
    layer = resolve_layer(settings.layer, teacher.encoder.config.depth)
    return pseudo_label_digest(settings, teacher, corpus), layer


def _made(digest: str, layer: int, settings: AnyTargets, workplace: Workplace) -> Made:
    store, began_s = workplace.store, time.perf_counter()
    if isinstance(settings, TargetSettings):
        kind, folders = "label set", store.label_sets.folders
        there = folders.get(digest) is not None
        workplace.label_set(settings)
    else:
        kind, folders = "pseudo-labels", store.pseudo_labels
        there = folders.get(digest) is not None
        workplace.pseudo_labels(settings)
    seconds = None if there else round(time.perf_counter() - began_s, 1)
    return Made(digest, kind, settings.clusters, layer, folders.size(digest), seconds)
