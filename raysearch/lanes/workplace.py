"""What all trials of one process share, and how one trial is put together from it. Needs no Ray.

On a cluster, each Ray Train worker (`worker.py`) makes one workplace when it starts and runs every order there. Other
verbs, and tests, make one without any worker.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch

from raysearch.corpora.corpus import Corpus
from raysearch.corpora.readers.table import read_corpus
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.teacher import Teacher
from raysearch.exported.settings import DeploySettings
from raysearch.methods.table import load_method
from raysearch.methods.trial import Trial
from raysearch.spec.document import Spec
from raysearch.spec.space import Config, Space
from raysearch.targets.build import build_label_set
from raysearch.targets.kept_features import KeptFeatures, features_bytes, kept_features, kept_grid, missing_layers
from raysearch.targets.kept_layer import Grid
from raysearch.targets.label_set import LabelSet
from raysearch.targets.mels import Mels, mels_of
from raysearch.targets.pseudo_labels import PseudoLabels, build_pseudo_labels
from raysearch.targets.settings import PseudoLabelSettings, TargetSettings
from raysearch.targets.store import Store
from raysearch.tasks.objective import Objective, taught_task
from raysearch.tasks.table import Shipped, evaluate_all, load_task
from raysearch.tasks.task import Task
from raysearch.teachers.heads import own_head, trained_head
from raysearch.teachers.loading import load_teacher
from raysearch.teachers.store import prepare_teacher
from raysearch.training.process import alone, as_first, rank
from raysearch.training.report import Report
from raysearch.training.settings import TrainingSettings

LABELLING_BATCH_S = 60.0
"""Seconds of audio in a batch that the teacher labels. It keeps no gradients, so they may be many."""

AUTO_SHARE = 0.5
"""Share of the free disk that the hidden states of a trial may take, unless the document says how much."""


@dataclass(frozen=True)
class Workplace:
    """The corpus, teacher, tasks and store of one search, on one device, loaded once for all trials that run there.

    Corpus, teacher and tasks are loaded when they are first used, and stay.
    """

    spec: Spec
    """The search document."""
    store: Store
    """Where teachers, label sets and the like are kept and found again."""
    teacher_folder: Path
    """Folder of the teacher's checkpoint."""
    device: torch.device
    """Where teacher and students run."""

    @classmethod
    def prepared(cls, spec: Spec, store: Store, device: torch.device) -> Workplace:
        """A workplace whose teacher is ready: it is trained first if it is not in the store."""
        corpus = read_corpus(spec.corpus, store.corpora)
        return cls(spec, store, prepare_teacher(spec.teacher, corpus, store.teachers, device), device)

    @cached_property
    def corpus(self) -> Corpus:
        return read_corpus(self.spec.corpus, self.store.corpora)

    @cached_property
    def teacher(self) -> Teacher:
        return load_teacher(self.teacher_folder, self.device)

    @cached_property
    def tasks(self) -> list[Task]:
        return [load_task(settings) for settings in self.spec.tasks]

    def label_set(self, settings: TargetSettings, teacher: Teacher | None = None) -> LabelSet:
        """The label set with these settings, from the store or built now, by the search's teacher or another one."""
        audio, sets, teacher = self.corpus.audio, self.store.label_sets, teacher or self.teacher
        return build_label_set(settings, teacher, self.corpus, audio, sets, self.device, LABELLING_BATCH_S)

    def pseudo_labels(self, settings: PseudoLabelSettings) -> PseudoLabels:
        """One cluster id for each training cut, or piece of one: from the store, or built now."""
        store = self.store.pseudo_labels
        return build_pseudo_labels(settings, self.teacher, self.corpus, store, self.device, LABELLING_BATCH_S)

    def mels(self, bins: int) -> Mels | None:
        """Log-mel bins of the training cuts: from the store, or computed now. None if they are too many to keep."""
        return mels_of(self.corpus, bins, self.store.mels)

    def kept_features(
        self, method: str, layers: list[int], student: EncoderConfig, training: TrainingSettings
    ) -> KeptFeatures | None:
        """The teacher's hidden states for such a student on the training split, from the store or made now.

        None if the search does not keep them, so that a method's trials run the teacher in every update.
        """
        teacher = self.teacher.encoder.config
        assert isinstance(teacher, EncoderConfig)  # a teacher without blocks was refused
        grid = kept_grid(teacher, student)
        # Another process of the trial may find less room on its disk, because the first one writes already.
        if not as_first(self._keeps(method, layers, grid, teacher, training)):
            return None
        store, device = self.store.features, self.device
        return kept_features(layers, grid, self.teacher, self.corpus, store, device, LABELLING_BATCH_S)

    def _keeps(
        self, method: str, layers: list[int], grid: Grid, teacher: EncoderConfig, training: TrainingSettings
    ) -> bool:
        layer_bytes = features_bytes(teacher, grid, (cut.num_samples for cut in self.corpus.splits["train"]))
        needed, train_s = layer_bytes * len(set(layers)), 3600 * self.corpus.hours("train")
        keeps = self.spec.keeps_features(method, training, needed, train_s)
        if self.spec.search.keep_features_gb != "auto":
            return keeps
        # What an earlier search has kept costs nothing any more.
        missing = missing_layers(layers, grid, self.teacher, self.corpus, self.store.features)
        return not missing or (keeps and layer_bytes * missing <= self._free_bytes * AUTO_SHARE)

    @property
    def _free_bytes(self) -> int:
        self.store.folder.mkdir(parents=True, exist_ok=True)
        return shutil.disk_usage(self.store.folder).free

    def objective(self, unit: Literal["auto", "phones", "characters"], *, trained: bool = True) -> Objective:
        """The task that students are trained for, where a method does so, and a head that the teacher reads it with.

        It is the teacher's own head, or one from the store or trained now. A task that no student is judged on is not
        worth that: its head starts from nothing. Without `trained` so does every head that is not the teacher's own.
        """
        task = taught_task(self.tasks, unit, self.corpus)
        head = own_head(self.teacher_folder, task, self.corpus, self.device)
        if head is None and trained and task in self.tasks:
            seed = self.spec.search.seed
            head = trained_head(task, self.teacher, self.corpus, self.store.heads, self.device, seed)
        return Objective.of(task, self.corpus, head or task.new_head(self.corpus, self.teacher.encoder.config))

    def evaluate(
        self,
        encoder: Encoder,
        test: bool,
        trained: Mapping[str, Any] | None = None,
        *,
        keep: Path,
        precision: str = "fp32",
        probed: bool = True,
        deploy: DeploySettings = DeploySettings(),  # noqa: B008 - it is frozen
    ) -> Mapping[str, float]:
        """The student's metrics on each task, on dev and, if asked, on test. Errors are those of the file that it
        becomes, by `deploy`.

        Heads in `trained` were trained with the student and are used as they are, with a probe as a second figure if
        `probed`; the other tasks train their own.
        All heads are written to the folder `keep`.
        """
        seed = self.spec.search.seed
        return evaluate_all(
            self.tasks,
            encoder,
            self.corpus,
            test=test,
            device=self.device,
            seed=seed,
            keep=keep,
            trained=trained,
            precision=precision,
            probed=probed,
            shipped=self._shipped(deploy, keep) if deploy.precision != "fp32" else None,
        )

    def _shipped(self, deploy: DeploySettings, folder: Path) -> Shipped:
        # It imports onnxruntime and torch's exporter, which take seconds, and most trials need neither.
        from raysearch.exported.shipped import shipped_by

        return shipped_by(deploy, folder, self.corpus, self.spec.search.seed, self.spec.workers.cpus)

    def run(self, number: int, config: Config, seed: int, folder: Path, precision: str = "fp32") -> Iterator[Report]:
        """Trains one configuration in `folder`, from its checkpoint if it has one, and yields a report at each rung."""
        folder.mkdir(parents=True, exist_ok=True)
        trial = self._trial(number, config, seed, folder, precision)
        return load_method(str(config["method"]))().run(trial)

    def judge_again(self, config: Config, folder: Path, trained: Path) -> Iterator[Report]:
        """Judges the student of another trial, which lies in the folder `trained`, in place of training one.

        The two configurations differ in `deploy` alone. There is one report, the last.
        """
        # It imports onnxruntime and torch's exporter, which take seconds.
        from raysearch.exported.judged_again import judge_again

        deploy, seed, threads = self.spec.deploy_of(config), self.spec.search.seed, self.spec.workers.cpus
        first = rank() == 0
        # The folder is that of the first process, which needs no others for this.
        with alone():
            report = judge_again(folder, trained, deploy, self.tasks, self.corpus, seed, threads) if first else None
        report = as_first(report)
        assert report is not None
        yield report

    def prepare(self, method: str, folder: Path, precision: str = "fp32") -> Path:
        """Trains what all trials of a method share, unless it is in the store. It is one of `spec.sharing`.

        Nothing is written into `folder`, which stands for that of a trial. Returns the folder in the store.
        """
        # Whichever trial asks, it is the same.
        config = Space([method], self.spec.space).draw(np.random.default_rng(self.spec.search.seed))
        trial = self._trial(0, config, self.spec.search.seed, folder, precision)
        prepared: Path = load_method(method).prepare(trial)  # type: ignore[attr-defined]
        return prepared

    def _trial(self, number: int, config: Config, seed: int, folder: Path, precision: str) -> Trial[Any]:
        deploy = self.spec.deploy_of(config)
        return Trial(
            number=number,
            settings=self.spec.settings(config),
            corpus=self.corpus,
            teacher=self.teacher,
            label_set=self.label_set,
            evaluate=partial(self.evaluate, keep=folder, precision=precision, deploy=deploy),
            rungs=self.spec.rung_updates(str(config["method"])),
            folder=folder,
            device=self.device,
            seed=seed,
            precision=precision,
            readers=self.spec.workers.readers,
            pseudo_labels=self.pseudo_labels,
            mels=self.mels,
            kept_features=partial(self.kept_features, str(config["method"])),
            objective=self.objective,
            trainings=self.store.trainings,
            search_seed=self.spec.search.seed,
            judged=tuple(task.name for task in self.tasks),
            quantised=deploy.quantised,
        )
