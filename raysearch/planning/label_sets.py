"""Makes the label sets that a search's trials will ask for, before the search begins."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from raysearch.lanes.workplace import Workplace
from raysearch.planning.wanted_labels import AnyTargets, wanted_targets
from raysearch.search.checks.possible import refuse_impossible
from raysearch.search.run import checked_corpus
from raysearch.search.watching.works import shown_here
from raysearch.spec.document import Spec
from raysearch.storage.folder import SearchFolder
from raysearch.targets.build import label_key
from raysearch.targets.features import resolve_layer
from raysearch.targets.pseudo_labels import pseudo_label_digest
from raysearch.targets.settings import TargetSettings
from raysearch.teachers.shape import known_shape
from raysearch.teachers.store import find_teacher, prepare_teacher


@dataclass(frozen=True)
class StoredLabels:
    """A label set that is in the store now."""

    id: str
    """Name of the folder in the store that holds it."""
    kind: str
    """`label set` has one cluster id for each frame, `pseudo-labels` one for each training cut."""
    clusters: int
    layer: int
    """Block of the teacher whose output is clustered, counted from 1. 0 stands for MFCCs, which need no teacher."""
    bytes: int
    """Bytes on disk."""
    seconds: float | None
    """Seconds that making it took. None if it was there already."""


def make_label_sets(
    spec: Spec, folder: SearchFolder, device: torch.device, say: Callable[[str], None]
) -> Iterator[StoredLabels]:
    """Puts the teacher and all label sets into the store from which trials take theirs, unless they are there.

    Yields each label set once it is in the store.
    Raises: InputError if the teacher has no such layer, or there are more clusters than frames or cuts.
    """
    if shape := known_shape(spec.teacher):
        refuse_impossible(spec, shape)
    corpus, teachers = checked_corpus(spec, folder, say), folder.store.teachers
    if find_teacher(spec.teacher, corpus, teachers) is None:
        say("teacher: preparing (once; searches take it from the store)")
    with shown_here("teacher", say):
        teacher = prepare_teacher(spec.teacher, corpus, teachers, device)
    workplace = Workplace(spec, folder.store, teacher, device)
    errors = (f"{name} {value:.4g}" for name, value in workplace.teacher.metrics.items())
    say(", ".join([f"teacher {workplace.teacher.key}", *errors]))
    wanted = [settings for method in spec.methods for settings in wanted_targets(spec, method)]
    # All places are worked out before the first label set is built, so that a layer which the teacher lacks is refused
    # before any work. Settings that lead to the same place are built once.
    for place, settings in {_place(settings, workplace): settings for settings in wanted}.items():
        with shown_here(place[0][:8], say):
            stored = _stored(*place, settings, workplace)
        yield stored


def _place(settings: AnyTargets, workplace: Workplace) -> tuple[str, int]:
    """The digest that names the labels in the store, and the block of the teacher that they come from."""
    teacher, corpus = workplace.teacher, workplace.corpus
    if isinstance(settings, TargetSettings):
        key = label_key(settings, teacher, corpus, workplace.store.label_sets, workplace.device)
        return key.digest, key.layer
    layer = resolve_layer(settings.layer, teacher.encoder.config.depth)
    return pseudo_label_digest(settings, teacher, corpus), layer


def _stored(digest: str, layer: int, settings: AnyTargets, workplace: Workplace) -> StoredLabels:
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
    return StoredLabels(digest, kind, settings.clusters, layer, folders.size(digest), seconds)
