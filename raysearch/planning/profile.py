"""Measures where the time of a search's updates goes, part by part, and what is spent before the first one."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lhotse.cut import MonoCut

from raysearch.corpora.batches import AudioStore
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.encoder.teacher import Teacher
from raysearch.errors import InputError
from raysearch.lanes.workplace import LABELLING_BATCH_S
from raysearch.methods.table import load_method
from raysearch.methods.trial import Trial
from raysearch.spec.document import Spec
from raysearch.targets.build import build_label_set
from raysearch.targets.label_set import LabelSet
from raysearch.targets.pseudo_labels import PseudoLabels, build_pseudo_labels
from raysearch.targets.settings import PseudoLabelSettings, TargetSettings
from raysearch.targets.store import Store
from raysearch.tasks.objective import untaught
from raysearch.tasks.table import load_task
from raysearch.teachers.loading import load_teacher, untrained_teacher
from raysearch.teachers.settings import TrainedTeacher
from raysearch.teachers.store import find_teacher
from raysearch.training.monitoring.spans import measured, span, watch
from raysearch.training.recipe import not_evaluated

WARM_UP = 3
"""Updates before the measured ones, in which memory is claimed and threads start."""
DATA = ("read and decode", "batch", "labels and masks", "features")
"""Parts of an update that could be done ahead of the model, by other processes."""
MODEL = ("copy", "teacher", "front end", "encoder", "head and loss", "backward", "optimiser")
"""Parts of an update that the model itself needs."""
PARTS = (*DATA, *MODEL, "reporting")


@dataclass(frozen=True)
class Profile:
    """The time of an update of one configuration, by its parts."""

    updates: int
    """Updates that were measured."""
    config: Mapping[str, Any]
    """The configuration that was profiled."""
    parts_s: Mapping[str, float]
    """Seconds of each part in a mean update, in the order in which an update runs them."""
    clustering_s: float
    """Seconds that the label set took before the first update. 0 for methods without one."""
    audio_s: float
    """Seconds of audio in an update."""

    @property
    def update_s(self) -> float:
        return sum(self.parts_s.values())

    @property
    def waste(self) -> str:
        """The part of an update that takes most time and is not the model's."""
        return max((part for part in self.parts_s if part not in MODEL), key=self.parts_s.__getitem__)

    @property
    def feed_ratio(self) -> float:
        """How many times as fast as the model its data is made ready. Below 1 the model waits."""
        data_s = sum(self.parts_s.get(part, 0.0) for part in DATA)
        return sum(self.parts_s.get(part, 0.0) for part in MODEL) / data_s


class _Decoding(AudioStore):
    """Decodes audio anew each time, as where a corpus does not fit in memory, and counts the seconds that it gave."""

    def __init__(self) -> None:
        super().__init__(limit_bytes=0)
        self.given_s = 0.0

    def audio(self, cut: MonoCut) -> np.ndarray:
        self.given_s += cut.duration
        with span("read and decode"):
            return super().audio(cut)


class _Trial(Trial[Any]):
    """A trial whose updates are measured, and not those of a training that it shares with others."""

    def once(self, what: str, updates: int, train: Callable[[Trial[Any]], None]) -> Path:
        return super().once(what, 1, train)


def profile(
    spec: Spec,
    store: Store,
    device: torch.device,
    updates: int,
    say: Callable[[str], None] = lambda line: None,
) -> Profile:
    """Trains one configuration of the search for a few updates, in a folder that is thrown away.

    The teacher is taken from the store. Without one there, an untrained one of its shape takes the same time.
    Raises: InputError if an imported teacher is not in the store.
    """
    # A search begins with its first start point, whose other settings are drawn.
    config = {**spec.search_space.draw(np.random.default_rng(spec.search.seed)), **(spec.search.start or [{}])[0]}
    say("profile: reading corpus and teacher")
    audio = _Decoding()
    corpus = dataclasses.replace(read_corpus(spec.corpus, store.corpora), audio=audio)
    own = _teacher(spec, corpus, store, device)
    with tempfile.TemporaryDirectory() as folder, measured() as spans:
        # A store of its own, so that clustering is measured even if the label set is kept already.
        labels = Store(Path(folder)).label_sets

        def label_set(targets: TargetSettings, teacher: Teacher | None = None) -> LabelSet:
            with span("clustering"):
                return build_label_set(targets, teacher or own, corpus, corpus.audio, labels, device, LABELLING_BATCH_S)

        def pseudo_labels(settings: PseudoLabelSettings) -> PseudoLabels:
            kept = Store(Path(folder)).pseudo_labels
            with span("clustering"):
                return build_pseudo_labels(settings, own, corpus, kept, device, LABELLING_BATCH_S)

        trial = _Trial(
            number=0,
            settings=spec.settings(config),
            corpus=corpus,
            teacher=own,
            label_set=label_set,
            evaluate=not_evaluated,
            rungs=(WARM_UP, WARM_UP + updates),
            folder=Path(folder) / "trial",
            device=device,
            seed=spec.search.seed,
            precision=spec.workers.precision_on(gpu=device.type == "cuda"),
            pseudo_labels=pseudo_labels,
            objective=lambda unit, *, trained=True: untaught(
                map(load_task, spec.tasks), unit, corpus, own.encoder.config
            ),
            judged=tuple(task.kind for task in spec.tasks),
        )
        watch(own.encoder, "teacher")
        clustering_s = 0.0
        for report in load_method(str(config["method"]))().run(trial):
            # The first report comes after the warm-up. What was counted until then is dropped, but for the label set.
            if not report.final:
                clustering_s = spans.seconds.get("clustering", 0.0)
                spans.seconds.clear()
                audio.given_s = 0.0
        parts_s = {part: spans.seconds[part] / updates for part in PARTS if part in spans.seconds}
    return Profile(updates, config, parts_s, clustering_s, audio.given_s / updates)


def _teacher(spec: Spec, corpus: Corpus, store: Store, device: torch.device) -> Teacher:
    folder = find_teacher(spec.teacher, corpus, store.teachers)
    if folder is not None:
        return load_teacher(folder, device)
    if isinstance(spec.teacher, TrainedTeacher):
        return untrained_teacher(spec.teacher, corpus)
    raise InputError(f"teacher.source: {spec.teacher.source}; expected it in the store: a search puts it there")
