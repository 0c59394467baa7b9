"""What many tests need: a corpus of tones on disk, labels for it, storages of studies, the real speech beside us."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
import soundfile
import torch
from lhotse import CutSet, Recording, SupervisionSegment
from xdist.scheduler import LoadFileScheduling

from raysearch import cli
from raysearch.corpora.corpus import Corpus
from raysearch.encoder.teacher import Teacher
from raysearch.methods.settings import StudentSettings
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec.document import Spec
from raysearch.targets.label_set import LabelKey, LabelSet
from raysearch.training.initial import initial_encoder
from tests.search.made_up import TEACHER
from tests.throwaway_postgres import throwaway_postgres

LABEL_HOP = 320
TONES_HZ = (200, 500, 1200, 3000)
SHARING = ("tests/deploy", "tests/mlflow_server")
"""Folders whose files share an exported search, and an MLflow server."""


class _Files(LoadFileScheduling):
    """Deals out files to the processes of a run, but these folders whole: what their files share takes long to make."""

    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in SHARING if nodeid.startswith(f"{folder}/")), super()._split_scope(nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    return _Files(config, log) if config.getvalue("dist") == "loadfile" else None


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Processes of `-n auto`: one more than cores, since tests of Ray, MLflow and databases often wait."""
    return (os.cpu_count() or 1) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start Ray come first: one of them alone at the end would leave the other processes without work."""
    long = {item.path for item in items if item.get_closest_marker("ray")}
    items.sort(key=lambda item: item.path not in long)


def _cut(folder, name, seconds, rng):
    """Half-second tones in noise; `phones` names them. Two speakers in turn."""
    tones = rng.integers(len(TONES_HZ), size=round(2 * seconds))
    time_S = np.arange(8000) / 16_000
    audio = np.concatenate([np.sin(2 * np.pi * TONES_HZ[tone] * time_S) for tone in tones])
    audio = 0.3 * audio + 0.01 * rng.standard_normal(len(audio))
    soundfile.write(folder / f"{name}.wav", audio, 16_000)
    cut = Recording.from_file(folder / f"{name}.wav", recording_id=name).to_cut()
    cut.id = name
    phones = [f"T{tone}" for tone in tones]
    text = " ".join(phones)
    cut.supervisions = [
        SupervisionSegment(
            name, name, 0.0, cut.duration, text=text, speaker=f"s{int(name[-1]) % 2}", custom={"phones": phones}
        )
    ]
    return cut


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> Corpus:
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)

    def split(name, count):
        return CutSet.from_cuts(_cut(folder, f"{name}{i}", rng.integers(2, 5) / 2, rng) for i in range(count))

    return Corpus("tones", {"train": split("train", 10), "dev": split("dev", 3), "test": split("test", 2)})


@pytest.fixture
def small_teacher(tones) -> Teacher:
    config = StudentSettings(depth=2, width=32, heads=2, channels=16, position_kernel=5).encoder()
    encoder = initial_encoder(config, None, tones, seed=1)
    return Teacher(encoder.eval().requires_grad_(False), key="t")


@pytest.fixture
def tone_labels(tones):
    """Labels that follow the tones' energy: a function of settings, as a trial has it."""

    def build(settings, teacher=None):
        labels = {cut.id: _labels(cut, settings.clusters) for split in tones.splits.values() for cut in split}
        ends = np.cumsum([len(labels_T) for labels_T in labels.values()])
        spans = {
            cut: slice(end - len(labels_T), end) for (cut, labels_T), end in zip(labels.items(), ends, strict=True)
        }
        key = LabelKey(settings.source, "t", 1, settings.clusters, settings.seed, settings.fit_frames, "tones")
        return LabelSet(key, LABEL_HOP, {}, np.concatenate(list(labels.values())), spans)

    return build


def _labels(cut, clusters):
    """The tone that sounds at each frame's centre."""
    frames = (cut.num_samples - 400) // LABEL_HOP + 1
    phones = cut.supervisions[0].custom["phones"]
    tones = [int(phones[min((200 + LABEL_HOP * t) // 8000, len(phones) - 1)][1:]) for t in range(frames)]
    return np.array(tones, dtype=np.int16) % clusters


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "study.journal")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a throwaway PostgreSQL, without any study."""
    with throwaway_postgres() as url:
        yield url


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    """The URL, after the studies of earlier tests were deleted."""
    for name in optuna.get_all_study_names(postgres):
        optuna.delete_study(study_name=name, storage=postgres)
    return postgres


@pytest.fixture(params=["journal", "postgres"])
def study_storage(request: pytest.FixtureRequest, journal: str) -> str:
    """Where a study lives: each test with it runs on a journal and on PostgreSQL."""
    if request.param == "journal":
        return journal
    url: str = request.getfixturevalue("empty_postgres")
    return url


@pytest.fixture
def start(study_storage: str) -> Callable[..., Searcher]:
    """`start(spec)` opens or creates the study and returns a searcher on it, as a driver would after a crash."""

    def _start(spec: Spec, trials: int | None = None) -> Searcher:
        try:
            study = Study.open(study_storage, spec.name)
        except KeyError:
            study = Study.create(study_storage, spec.name, spec.objectives, {})
        return Searcher(spec, study, TEACHER, trials=trials or spec.search.trials, say=lambda _: None)

    return _start


@pytest.fixture
def speech(request: pytest.FixtureRequest) -> Path:
    """Folder of real speech corpora."""
    folder: Path = request.config.rootpath.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"no real speech: {folder} is absent")
    return folder


@pytest.fixture
def one_cpu() -> Iterator[Any]:
    """A Ray as a search starts it: without a dashboard."""
    import ray

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    yield ray
    ray.shutdown()


@pytest.fixture
def raysearch(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    """Runs a verb as users do, in this process: exit code, stdout, stderr."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["raysearch", *map(str, words)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        out, err = capsys.readouterr()
        return int(ended.value.code or 0), out, err

    return run


@pytest.fixture(autouse=True, scope="module")
def _mlflow_as_it_was() -> Iterator[None]:
    """Registering a model sets MLflow's process-wide address, and variables that child processes inherit."""
    before = {key: value for key, value in os.environ.items() if key.startswith("MLFLOW_")}
    yield
    if "mlflow" in sys.modules:
        import mlflow

        mlflow.set_tracking_uri(None)
        mlflow.set_registry_uri(None)
    for key in [key for key in os.environ if key.startswith("MLFLOW_")]:
        del os.environ[key]
    os.environ.update(before)
