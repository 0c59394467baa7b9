"""Teachers: trained here once for a corpus and kept by content, or taken from where they are.

A teacher's folder is an encoder checkpoint with `teacher.json`: its metrics, and for one trained here its settings,
updates and seconds.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from functools import partial
from pathlib import Path

import torch

from raysearch.corpora.corpus import Corpus
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.source import read_encoder, source_key
from raysearch.errors import InputError
from raysearch.methods.base import Teacher, Trial
from raysearch.methods.hubert import Hubert, LabelPredictionSettings, MfccTargets
from raysearch.methods.settings import TrainingSettings
from raysearch.targets.build import build_label_set
from raysearch.targets.settings import TargetSettings
from raysearch.targets.store import FolderStore, LabelStore
from raysearch.training.ctc import train_ctc
from raysearch.training.process import world_size
from raysearch.training.settings import ReadyTeacher, TrainedTeacher
from raysearch.training.student import build_student

_DOCUMENT, _WEIGHTS = "teacher.json", "model.safetensors"


def find_teacher(settings: TrainedTeacher | ReadyTeacher, corpus: Corpus, store: FolderStore) -> Path | None:
    """The teacher's folder, if it is there already.

    Raises: InputError if a ready teacher is not where it should be.
    """
    if isinstance(settings, TrainedTeacher) or ":" in settings.source:
        return store.get(_key(settings, corpus))
    folder = Path(settings.source)
    if not (folder / _WEIGHTS).exists():
        raise InputError(f"teacher.source: {settings.source}; expected a folder with config.json and {_WEIGHTS}")
    return folder.resolve()


def prepare_teacher(
    settings: TrainedTeacher | ReadyTeacher, corpus: Corpus, store: FolderStore, device: torch.device
) -> Path:
    """The teacher's folder. One trained here is made once for these settings and this corpus, by one process alone.

    Raises: InputError if a ready teacher is not where it should be.
    """
    if found := find_teacher(settings, corpus, store):
        return found
    key = _key(settings, corpus)
    if isinstance(settings, TrainedTeacher):
        return store.get_or_build(key, partial(_train, settings=settings, corpus=corpus, device=device))
    return store.get_or_build(key, partial(_import, source=settings.source))


def teacher_metrics(folder: Path) -> dict[str, float]:
    """The teacher's own errors, in percent; empty where they are not known."""
    document = folder / _DOCUMENT
    found: dict[str, float] = json.loads(document.read_text(encoding="utf-8"))["metrics"] if document.exists() else {}
    return found


def load_teacher(folder: Path, device: torch.device) -> Teacher:
    """The teacher in `folder`, frozen and in eval mode."""
    key = hashlib.sha256((folder / _WEIGHTS).read_bytes()).hexdigest()[:16]
    return Teacher(_frozen(load_encoder(folder, device)), key, teacher_metrics(folder))


def _frozen(encoder: Encoder) -> Encoder:
    return encoder.eval().requires_grad_(False)


def _key(settings: TrainedTeacher | ReadyTeacher, corpus: Corpus) -> str:
    if isinstance(settings, TrainedTeacher):
        return hashlib.sha256(f"{settings.model_dump_json()}\n{corpus.fingerprint}".encode()).hexdigest()[:16]
    return source_key(settings.source)


def _train(folder: Path, settings: TrainedTeacher, corpus: Corpus, device: torch.device) -> None:
    assert world_size() == 1, "the other processes would wait for the store's lock, and this one for them"
    started = time.perf_counter()
    work = folder / "work"
    train = train_ctc if settings.method == "ctc" else _train_hubert
    metrics = train(work, settings, corpus, device)
    document = {
        "metrics": metrics,
        "settings": settings.model_dump(mode="json"),
        "updates": settings.updates * (1 if settings.method == "ctc" else 2),
        "seconds": round(time.perf_counter() - started, 1),
    }
    for file in (work / "student").iterdir():
        file.rename(folder / file.name)
    shutil.rmtree(work)
    (folder / _DOCUMENT).write_text(json.dumps(document), encoding="utf-8")


def _train_hubert(work: Path, settings: TrainedTeacher, corpus: Corpus, device: torch.device) -> dict[str, float]:
    """Two iterations: clusters of MFCCs, then clusters of the first one's middle block. Without a head, no errors."""
    training = TrainingSettings(lr=settings.lr, batch_s=settings.batch_s)
    labels = LabelStore(work / "labels")

    def iterate(targets: TargetSettings, teacher: Teacher, folder: Path) -> Teacher:
        trial = Trial(
            number=0,
            settings=LabelPredictionSettings(student=settings.shape(), targets=targets, training=training),
            corpus=corpus,
            teacher=teacher,
            label_set=lambda key: build_label_set(key, teacher, corpus, corpus.audio, labels, device, settings.batch_s),
            evaluate=lambda encoder, final: {},
            rungs=(settings.updates,),
            folder=folder,
            device=device,
            seed=settings.seed,
            precision=settings.precision,
        )
        for _ in Hubert().run(trial):
            pass
        return load_teacher(folder / "student", device)

    first = iterate(MfccTargets(clusters=settings.clusters), untrained_teacher(settings, corpus), work / "first")
    iterate(TargetSettings(layer=(settings.depth + 1) // 2, clusters=settings.clusters), first, work)
    return {}


def untrained_teacher(settings: TrainedTeacher, corpus: Corpus) -> Teacher:
    """A teacher of the right shape that knows nothing."""
    encoder = build_student(settings.encoder(), None, corpus, settings.seed)
    return Teacher(_frozen(encoder), key="untrained")


def _import(folder: Path, source: str) -> None:
    """Raises: InputError if the weights cannot be had, or are not of an encoder that we know."""
    try:
        save_encoder(read_encoder(source), folder)
    except InputError as err:
        raise InputError(f"teacher.source: {err}") from err
