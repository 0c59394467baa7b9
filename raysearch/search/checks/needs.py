"""What a search needs of its corpus, looked for before anything is trained and before Ray starts.

Each task, method and teacher says itself what it needs. Here they are asked.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

import numpy as np

from raysearch.corpora.augmentation import Augmenter
from raysearch.corpora.corpus import Corpus
from raysearch.corpora.pieces import piece_count
from raysearch.corpora.settings import SPLITS
from raysearch.encoder.config import SAMPLE_RATE_HZ, AnyConfig
from raysearch.encoder.frames import frames, is_too_long
from raysearch.errors import InputError, counted
from raysearch.methods.method import Method
from raysearch.methods.needs import SYMBOLS, Need, asks_for_labels, check_need, needs_of
from raysearch.methods.table import load_method
from raysearch.search.checks.possible import DRAWS, draw_possible
from raysearch.spec.document import Spec
from raysearch.spec.space import Space
from raysearch.targets.settings import PseudoLabelSettings
from raysearch.targets.store import Store
from raysearch.tasks.ctc.recognition import CtcTask
from raysearch.tasks.table import learner_of, load_task
from raysearch.teachers.needs import check_teacher
from raysearch.teachers.settings import TrainedTeacher
from raysearch.teachers.shape import known_shape
from raysearch.teachers.store import own_corpus

_LENGTHS = range(0, 4 * SAMPLE_RATE_HZ, 160)
"""Lengths in samples at which encoders are told apart by their frames."""


def check_judged(spec: Spec, corpus: Corpus) -> list[str]:
    """What is doubtful about a corpus for the search's tasks, in a line each.

    Raises: InputError if a recording is too short or too long for an encoder, or a split lacks what a task reads.
    """
    shape = known_shape(spec.teacher)
    students: list[AnyConfig] = []
    # The shape of a teacher that has yet to be imported is not known, nor are those of its students.
    if shape is not None:
        students = _unlike([spec.student_config(config, shape) for config in draw_possible(spec, shape)])
        _check_frames(spec, corpus, [*students, shape])
        _check_longest(corpus, students, shape)
    return [line for task in spec.tasks for line in load_task(task).check(corpus, students)]


def check_trained(spec: Spec, corpus: Corpus, store: Store) -> list[str]:
    """What is doubtful about a corpus for the search's teacher and methods, in a line each.

    Raises: InputError if the corpus lacks what one of them learns from.
    """
    _check_methods(spec, corpus)
    if not isinstance(spec.teacher, TrainedTeacher):
        return []
    return check_teacher(spec.teacher, own_corpus(spec.teacher, corpus, store.teachers))


def _check_methods(spec: Spec, corpus: Corpus) -> None:
    tasks = [load_task(settings) for settings in spec.tasks]
    # Where a method is free to choose its symbols, they are those that the search judges by.
    read: list[Need] = [task.unit for task in tasks if isinstance(task, CtcTask)]
    needed: dict[tuple[str, Need], None] = {}
    disturbed: dict[str, Any] = {}
    for method, settings in _settings(spec):
        _check_clusters(load_method(method), settings, corpus)
        needed |= dict.fromkeys((method, need) for need in needs_of(load_method(method), settings))
        if augmentation := getattr(settings, "augmentation", None):
            disturbed[augmentation.model_dump_json()] = augmentation
    for method, need in needed:
        # A task that decides fields teaches a method its labels, where the method would else read symbols.
        if need not in SYMBOLS or learner_of(tasks, corpus) is None:
            check_need(method, read[0] if need == "symbols" and read else need, corpus)
    for augmentation in disturbed.values():
        Augmenter(augmentation)  # refuses folders without recordings


def _check_clusters(method: type[Method], settings: Any, corpus: Corpus) -> None:
    """Refuses more clusters than there are cuts, or pieces of them, to be clustered as wholes."""
    targets = getattr(settings, "targets", None)
    if isinstance(targets, PseudoLabelSettings) and asks_for_labels(method, settings):
        most = sum(piece_count(cut, targets.piece_s) for cut in corpus.splits["train"])
        if targets.clusters > most:
            what = "the pieces of training cuts" if targets.piece_s else "the training cuts"
            raise InputError(f"targets.clusters: {targets.clusters}; expected at most {most:,}, {what}")


def _settings(spec: Spec) -> Iterator[tuple[str, Any]]:
    """Settings of some configurations of each method, whether they have a student or not."""
    rng = np.random.default_rng(spec.search.seed)
    for method in spec.methods:
        for _ in range(DRAWS):
            with suppress(InputError):
                yield method, spec.settings(Space([method], spec.space).draw(rng))


def _check_frames(spec: Spec, corpus: Corpus, encoders: Sequence[AnyConfig]) -> None:
    """Refuses recordings of which an encoder makes no frame."""
    shortest = min((cut for split in SPLITS for cut in corpus.splits[split]), key=lambda cut: cut.num_samples)
    for encoder in encoders:
        if frames(encoder, shortest.num_samples) == 0:
            least = next(samples for samples in range(10 * SAMPLE_RATE_HZ) if frames(encoder, samples))
            least_s = math.ceil(1000 * least / SAMPLE_RATE_HZ) / 1000
            min_s = min(one.min_s for one in getattr(spec.corpus, "corpora", [spec.corpus]))
            raise InputError(
                f"corpus.min_s: {min_s:g}; expected at least {least_s:g}, one frame of an encoder; the shortest cut, "
                f"{shortest.id}, has {shortest.duration:g} s"
            )


def _check_longest(corpus: Corpus, students: Sequence[AnyConfig], teacher: AnyConfig) -> None:
    """Refuses recordings for which an encoder that hears them has no positions."""
    for split in SPLITS:
        # Students learn from what the teacher hears, and are judged without it.
        hearing = [*(("student", one) for one in students), *([("teacher", teacher)] if split == "train" else [])]
        for who, encoder in hearing:
            if math.isfinite(encoder.longest_s):
                _refuse_too_long(corpus, split, who, encoder)


def _refuse_too_long(corpus: Corpus, split: str, who: str, encoder: AnyConfig) -> None:
    found = [cut for cut in corpus.splits[split] if is_too_long(encoder, cut.num_samples)]
    if found:
        longest = max(found, key=lambda cut: cut.num_samples)
        # A setting leaves long cuts out of the training split. The others keep them, so that errors stay comparable.
        remedy = f"corpus.max_s = {encoder.longest_s:g}" if split == "train" else "recordings that are cut shorter"
        raise InputError(
            f"corpus {corpus.name}: split {split}: {counted(len(found), 'cut')} of more than the "
            f"{encoder.longest_s:g} s for which the {who} has positions, the longest {longest.id} with "
            f"{longest.duration:.1f} s; expected {remedy}"
        )


def _unlike(encoders: Sequence[AnyConfig]) -> list[AnyConfig]:
    """One encoder of each frame rate, context and greatest length. All that make the same frames are alike here."""
    alike = {(one.longest_s, *(frames(one, samples) for samples in _LENGTHS)): one for one in encoders}
    return list(alike.values())
