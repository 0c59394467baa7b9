"""A search that trains nothing: three short files, a tiny teacher, the method `Fake`. Run as a program, it drives."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
import soundfile
import torch
import yaml
from lhotse import CutSet, Recording, SupervisionSegment
from optuna.storages import InMemoryStorage

from raysearch.cluster.connection import connected
from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.lanes.lane import LaneSetup
from raysearch.lanes.room import Room
from raysearch.lanes.tune import run_lanes
from raysearch.methods.settings import StudentSettings
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec.loading import parse_spec
from raysearch.storage.folder import Links, SearchFolder
from raysearch.storage.lease import Lease
from raysearch.storage.studies import open_storage
from tests.search.fake_method import error_of

ROOT = Path(__file__).parents[2]
"""The checkout: workers find the method `Fake` from here."""
AnySearcher = TypeVar("AnySearcher", bound=Searcher)


def make_search(
    root: Path,
    orders: dict[str, object],
    *,
    trials: int,
    lanes: int | str,
    rungs: tuple[float, ...] = (0.5, 1.0),
    updates: int = 10,
    method: str = "tests.search.fake_method:Fake",
    database: str = "",
    tracking: str = "",
) -> SearchFolder:
    """The folder of a search that can be driven, with what its trials are to do; its study is a journal by default."""
    _teacher(root / "teacher")
    document = {
        "name": "fake",
        "corpus": {"kind": "manifest", "splits": _manifests(root / "speech")},
        "teacher": {"source": str(root / "teacher"), "judged": False},
        "task": {"kind": "phonemes"},
        "method": method,
        "student": {"heads": 2},
        "space": {
            "student.depth": {"int": [1, 8]},
            "student.width": {"choice": [32, 64, 96, 128]},
            # Nothing reads it: it makes any number of trials differ.
            "training.lr": {"float": [0.001, 1.0]},
        },
        "search": {"trials": trials, "updates": updates, "rungs": list(rungs), "sampler": "random"},
        "workers": {"lanes": lanes},
    }
    folder = SearchFolder(root, "fake")
    folder.create(parse_spec(document, where="fake.yaml"), Links(study=database, tracking=tracking))
    (folder.path / "orders.json").write_text(json.dumps(orders))
    return folder


def drive(
    folder: SearchFolder,
    *,
    patience_s: float = 1800.0,
    heard: Callable[[str, int], None] = lambda *_: None,
    changed: Callable[[int], None] = lambda lanes: None,
) -> Study:
    """What `raysearch search` does once corpus and teacher are there. Ray must run."""
    with driver(folder, Searcher, patience_s) as (searcher, setup):
        room = Room(setup, searcher.spec.workers.fixed_lanes)
        room.changed = changed
        changed(room.lanes)
        run_lanes(searcher, setup, room, heard)
        return searcher.study


@contextmanager
def driver(
    folder: SearchFolder, kind: type[AnySearcher], patience_s: float = 1800.0
) -> Iterator[tuple[AnySearcher, LaneSetup]]:
    """A searcher of some kind that holds the lease, and the setup of its lanes."""
    spec = folder.spec()
    teacher = Path(spec.teacher.source)
    lease = Lease.take(open_storage(folder.study_storage()), spec.name)
    try:
        study = _study(folder)
        study.guard = lease.check
        setup = LaneSetup(
            spec=yaml.safe_dump(spec.model_dump(mode="json", by_alias=True, exclude_none=True)),
            folder=str(folder.path),
            store=str(folder.store.folder),
            uri=folder.uri,
            teacher=str(teacher),
            num_workers=1,
            cpus=1,
            use_gpu=False,
            precision="fp32",
            patience_s=patience_s,
        )
        config = read_config(teacher / "config.json")
        yield kind(spec, study, config, trials=spec.search.trials, say=lambda _: None), setup
    finally:
        lease.release()


def outcomes(study: Study) -> list[tuple[int, str, float]]:
    """What must not depend on what broke on the way: number, settings and error of each trial."""
    return [(r.number, str(sorted(r.config.items())), r.metrics["eval/per"]) for r in study.records()]


def without_faults(folder: SearchFolder) -> Study:
    """The study of the same search where nothing breaks, without Ray."""
    spec = folder.spec()
    study = Study.create(InMemoryStorage(), spec.name, spec.objectives, {})
    teacher = read_config(Path(spec.teacher.source) / "config.json")
    searcher = Searcher(spec, study, teacher, trials=spec.search.trials, say=lambda _: None)
    while suggestion := searcher.suggest():
        metrics = {"eval/per": error_of(int(suggestion.config["student.depth"]))}
        searcher.complete(suggestion.number, spec.search.updates, metrics)
    return study


def _study(folder: SearchFolder) -> Study:
    spec = folder.spec()
    try:
        return Study.open(folder.study_storage(), spec.name)
    except KeyError:
        about = {"reference_point": [500.0, 100.0]}
        return Study.create(folder.study_storage(), spec.name, spec.objectives, about)


def _teacher(folder: Path) -> None:
    config = StudentSettings(depth=1, width=32, heads=2, channels=16, position_kernel=5).encoder()
    save_encoder(Encoder(config), folder)


def _manifests(folder: Path) -> dict[str, str]:
    folder.mkdir(parents=True)
    paths = {}
    for split in ("train", "dev", "test"):
        audio = folder / f"{split}.wav"
        soundfile.write(audio, np.random.default_rng(0).normal(0, 0.1, 16_000), 16_000)
        cut = Recording.from_file(audio, recording_id=split).to_cut()
        said = {"text": "a b", "custom": {"phones": ["A", "B"]}}
        cut.supervisions = [SupervisionSegment(split, split, 0.0, cut.duration, speaker="s", **said)]
        paths[split] = str(folder / f"{split}.jsonl")
        CutSet.from_cuts([cut]).to_file(paths[split])
    return paths


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    os.environ.pop("RAY_ADDRESS", None)
    folder = SearchFolder(Path(sys.argv[1]), "fake")
    # The lease comes first: whoever is refused need not start Ray for it.
    with driver(folder, Searcher) as (searcher, setup), connected(None):
        (folder.path / "driver").write_text(str(os.getpid()))
        run_lanes(searcher, setup, Room(setup, searcher.spec.workers.fixed_lanes), lambda *_: None)
