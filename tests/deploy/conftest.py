"""A search of two tiny trials, made in this process, and an export of one of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import optuna
import pytest
import soundfile
import torch
from lhotse import CutSet, Recording, SupervisionSegment

from raysearch.deploy.export import export_trial
from raysearch.encoder.checkpoint import save_encoder
from raysearch.encoder.encoder import Encoder
from raysearch.front.trials import Cost
from raysearch.lanes.workplace import Workplace
from raysearch.methods.settings import StudentSettings
from raysearch.search.costs import encoder_cost
from raysearch.search.sampler import derived_seed
from raysearch.search.study import Study
from raysearch.spec.loading import parse_spec
from raysearch.storage.folder import Links, SearchFolder
from raysearch.storage.provenance import git_commit, hardware, versions

TONES_HZ = (300, 1000, 2500)
TINY = {"width": 32, "heads": 2, "channels": 16, "position_kernel": 5}


def _cut(folder: Path, name: str, rng: np.random.Generator, gender: str):
    """Half-second tones in noise; `phones` names them."""
    tones = rng.integers(len(TONES_HZ), size=rng.integers(3, 7))
    time_S = np.arange(8000) / 16_000
    audio_S = np.concatenate([0.3 * np.sin(2 * np.pi * TONES_HZ[tone] * time_S) for tone in tones])
    file = folder / f"{name}.wav"
    soundfile.write(file, audio_S + 0.01 * rng.standard_normal(len(audio_S)), 16_000)
    cut = Recording.from_file(file, recording_id=name).to_cut()
    cut.id = name
    phones = [f"T{tone}" for tone in tones]
    supervision = SupervisionSegment(name, name, 0.0, cut.duration, text=" ".join(phones), speaker=gender)
    supervision.gender, supervision.custom = gender, {"phones": phones}
    cut.supervisions = [supervision]
    return cut


@pytest.fixture(scope="session", autouse=True)
def lenient() -> Iterator[None]:
    """Lets int8 change more of the few phones that are judged here: by how many it does differs with the processor."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("raysearch.deploy.verify.LOSSY_POINTS", 30.0)
        yield


@pytest.fixture(scope="session")
def search(tmp_path_factory) -> SearchFolder:
    torch.set_num_threads(1)
    root = tmp_path_factory.mktemp("searches")
    rng = np.random.default_rng(0)
    splits = {}
    for split, count in (("train", 8), ("dev", 8), ("test", 6)):
        cuts = [_cut(root, f"{split}{index}", rng, "fm"[index % 2]) for index in range(count)]
        splits[split] = str(root / f"{split}.jsonl")
        CutSet.from_cuts(cuts).to_file(splits[split])
    torch.manual_seed(0)
    save_encoder(Encoder(StudentSettings(depth=2, **TINY).encoder()), root / "teacher")
    spec = parse_spec(
        {
            "name": "made-up",
            "corpus": {"kind": "manifest", "splits": splits},
            "teacher": {"source": str(root / "teacher")},
            "task": {"kind": "phonemes", "updates": 20, "batch_s": 6},
            "method": "dicehubert",
            "student": TINY,
            "targets": {"layer": -1, "clusters": 4},
            "prediction": {"mask_prob": 0.0, "unmasked_weight": 1.0, "head": "linear"},
            "training": {"batch_s": 6},
            "space": {"student.depth": {"int": [1, 2]}},
            "search": {"updates": 3, "trials": 2},
        },
        where="made-up",
    )
    folder = SearchFolder(root, spec.name)
    folder.create(spec, Links(study="", tracking=f"sqlite:///{root / 'mlflow.db'}"))
    about = {
        "digest": spec.digest,
        "seed": 0,
        "versions": versions(),
        "hardware": hardware(),
        "git_commit": git_commit(),
        "reference_point": [10.0, 100.0],
        "teacher": {"cost": Cost(macs_g=9.0, params_m=1.0).model_dump(), "metrics": {}},
    }
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, about)
    workplace = Workplace(spec, folder.store, root / "teacher", torch.device("cpu"))
    for depth in (1, 2):
        number, config = study.ask(spec.search_space, optuna.samplers.RandomSampler(0), {"student.depth": depth})
        study.set_cost(number, encoder_cost(spec.student_config(config, workplace.teacher.encoder.config)))
        seed = derived_seed(spec.search.seed, number)
        for report in workplace.run(number, config, seed, folder.trial(number)):
            study.report(number, report.step, dict(report.metrics))
        study.end(number, "complete")
    return folder


@pytest.fixture(scope="session")
def exported(search: SearchFolder, tmp_path_factory) -> Path:
    """Trial 0 in every format. Copy it before changing it."""
    out = tmp_path_factory.mktemp("exports") / "all"
    export_trial(search, 0, out, formats=("onnx", "pt2"), precisions=("fp32", "fp16", "int8"))
    return out
