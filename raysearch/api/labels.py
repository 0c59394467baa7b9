"""Label sets, hidden states and shared trainings in the store: which there are, which are wanted, which are not."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.api.arguments import Say, device, place, say, spec_of

if TYPE_CHECKING:
    from raysearch.planning.label_sets import StoredLabels
    from raysearch.spec.document import Spec
    from raysearch.storage.garbage import Garbage

DAY_S = 86_400


@dataclass(frozen=True)
class BuiltLabelSets:
    """What a search finds in the store when it begins."""

    label_sets: list[StoredLabels]
    """Those that are there now."""
    without: list[str]
    """Methods that ask for none."""
    on_demand: list[str]
    """Keys that the search draws from a range: beyond the points it starts with, trials have theirs built."""


def label_sets(*, storage: str | Path | None = None) -> list[dict[str, Any]]:
    """The label sets in a storage's store, each with its settings and its quality."""
    return [label_set.document() for label_set in place(storage).store.label_sets.ls()]


def kept_features(*, storage: str | Path | None = None) -> list[dict[str, Any]]:
    """The layers of teachers whose hidden states a storage's store keeps, each with its teacher, corpus and bytes."""
    from raysearch.targets.kept_layer import KeptLayer

    store = place(storage).store.features
    return [KeptLayer(folder).document() for digest in store.ls() if (folder := store.get(digest))]


def shared_trainings(*, storage: str | Path | None = None) -> list[dict[str, Any]]:
    """The trainings in a storage's store that trials share, such as supernets, each with its bytes.

    `used_s` is when a trial last asked for it, in Unix time.
    """
    store = place(storage).store.trainings
    return [{"digest": digest, "bytes": store.size(digest), "used_s": at} for digest, at in store.used_s().items()]


def build_label_sets(
    spec: Spec | str | Path,
    *,
    storage: str | Path | None = None,
    say: Say = say,
    made: Callable[[StoredLabels], None] | None = None,
) -> BuiltLabelSets:
    """Makes a search's teacher and label sets before it begins; what is in the store already stays as it is.

    `made` is called with each label set as soon as it is there.
    Raises: InputError if the teacher has no such layer, or there are more clusters than frames or cuts.
    """
    from raysearch.planning.label_sets import make_label_sets
    from raysearch.planning.wanted_labels import asks_for_labels, searched_ranges

    spec = spec_of(spec)
    found = []
    for one in make_label_sets(spec, place(storage, spec.name), device(gpu=bool(spec.workers.use_gpu)), say):
        found.append(one)
        if made:
            made(one)
    without = [method for method in spec.methods if not asks_for_labels(spec, method)]
    ranges = dict.fromkeys(key for method in spec.methods for key in searched_ranges(spec, method))
    return BuiltLabelSets(found, without, list(ranges))


def remove_garbage(*, unused_days: float = 30.0, dry_run: bool = False, storage: str | Path | None = None) -> Garbage:
    """Removes what no search needs, and says what it was: resume states of ended trials, and in the store labels,
    log-mel bins, hidden states of teachers, their heads, and trainings that trials share.

    What lies in the store goes if nothing asked for it in `unused_days`. The front's trials and running ones keep
    everything. With `dry_run` nothing is removed.
    """
    from raysearch.search.reading import ended_off_front
    from raysearch.storage.garbage import find_garbage
    from raysearch.storage.garbage import remove_garbage as remove

    where = place(storage)
    garbage = find_garbage(where, time.time() - DAY_S * unused_days, ended_off_front)
    return garbage if dry_run else remove(where, garbage)
