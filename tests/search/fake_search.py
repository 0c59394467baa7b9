"""A search that trains nothing: three short files, a tiny teacher, the method `Fake`. Run as a program, it drives."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import soundfile
import torch
import yaml
from lhotse import CutSet, Recording, SupervisionSegment

from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.methods.settings import StudentSettings
from raysearch.search.folder import Links, SearchFolder
from raysearch.search.lanes import LanePlan, run_lanes
from raysearch.search.lease import Lease
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study, open_storage
from raysearch.spec import parse_spec

HERE = Path(__file__).parent


SPACE = {"student.depth": {"int": [1, 8]}, "student.width": {"choice": [32, 64, 96, 128]}}
MANY = {**SPACE, "training.lr": {"float": [1e-4, 1e-2], "log": True}}
"""A space that never asks the same twice."""


def make_search(
    root: Path,
    orders: dict[str, object],
    *,
    trials: int,
    lanes: int,
    space: dict[str, object] = SPACE,
    tracking: str = "",
) -> SearchFolder:
    """The folder of a search that can be driven, with what its trials are to do."""
    _teacher(root / "teacher")
    document = {
        "name": "fake",
        "corpus": {"kind": "manifest", "splits": _manifests(root / "speech")},
        "teacher": {"source": str(root / "teacher")},
        "task": {"kind": "phonemes"},
        "method": "fake_method:Fake",
        "student": {"heads": 2},
        "space": space,
        "search": {"trials": trials, "updates": 10, "rungs": [0.5, 1.0], "sampler": "random"},
        "workers": {"lanes": lanes},
    }
    folder = SearchFolder(root, "fake")
    folder.create(parse_spec(document, where="fake.yaml"), Links(study="", tracking=tracking))
    (folder.path / "orders.json").write_text(json.dumps(orders))
    return folder


def drive(
    folder: SearchFolder,
    *,
    trials: int | None = None,
    patience_s: float = 1800.0,
    heard: Callable[[str, int], None] = lambda *_: None,
) -> Study:
    """What `raysearch search` does once corpus and teacher are there. Ray must run."""
    spec = folder.spec()
    teacher = Path(spec.teacher.source)
    lease = Lease.take(open_storage(folder.study_storage()), spec.name)
    try:
        study = _study(folder)
        study.guard = lease.check
        plan = LanePlan(
            spec=yaml.safe_dump(spec.model_dump(mode="json", by_alias=True, exclude_none=True)),
            folder=str(folder.path),
            store=str(folder.store),
            teacher=str(teacher),
            num_workers=1,
            cpus=1,
            use_gpu=False,
            precision="fp32",
            patience_s=patience_s,
        )
        wanted = trials or spec.search.trials
        searcher = Searcher(spec, study, read_config(teacher / "config.json"), trials=wanted, say=lambda _: None)
        run_lanes(searcher, plan, spec.workers.lanes, heard)
        return study
    finally:
        lease.release()


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
        cut.supervisions = [SupervisionSegment(split, split, 0.0, cut.duration, text="a b", speaker="s")]
        paths[split] = str(folder / f"{split}.jsonl")
        CutSet.from_cuts([cut]).to_file(paths[split])
    return paths


if __name__ == "__main__":
    import ray

    torch.set_num_threads(1)
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    drive(SearchFolder(Path(sys.argv[1]), "fake"))
