"""A whole search through the command line: dirty speech, teacher, label sets, lanes, study, MLflow, front.

The numbers are too small to mean anything; what is tested is that every joint holds.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import yaml

from raysearch.corpora.settings import SplitCounts, SyntheticSettings
from raysearch.corpora.synthetic.synthesise import synthesise
from tests.search.lanes_here import leave_ray_out

SPEC: dict[str, Any] = {
    "name": "tiny",
    "teacher": {
        "source": "train", "method": "ctc", "updates": 20, "batch_s": 20,
        "depth": 1, "width": 32, "heads": 2, "channels": 32,
    },
    "task": [{"kind": "phonemes", "updates": 10, "lrs": [0.1]}, {"kind": "asr", "updates": 10, "lrs": [0.1]}],
    "method": {"choice": ["dicehubert", "distilhubert"]},
    "student": {"heads": 2, "position_kernel": 15, "channels": 32},
    "distillation": {"layers": [-1]},
    "prediction": {"mask_prob": 0.0, "head": "linear"},
    "training": {"lr": 2e-3, "batch_s": 20, "dropout": 0.0},
    "space": {
        "student.depth": {"int": [1, 3]},
        "student.width": {"choice": [32, 64]},
        "targets.clusters": {"choice": [10, 20]},
    },
    "search": {"trials": 3, "updates": 6, "rungs": [0.5, 1.0]},
    "workers": {"lanes": 1},
}  # fmt: skip


Run = Callable[..., tuple[int, str, str]]


def process(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """A verb in a process of its own."""
    command = [sys.executable, "-m", "raysearch.cli", *map(str, args)]
    return subprocess.run(command, capture_output=True, text=True, timeout=600)


def spoil(root: Path) -> None:
    """Three corrupt files, a 0-byte one, an 8 kHz one and an empty transcript."""
    paths = sorted(root.glob("train/*/*/*.flac"))
    for path in paths[:3]:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2] + b"\0" * 400)
    paths[3].write_bytes(b"")
    soundfile.write(paths[4], np.random.default_rng(0).normal(0, 0.1, 16_000), 8_000)
    texts = paths[5].parent / f"{paths[5].parent.parent.name}-{paths[5].parent.name}.trans.txt"
    lines = [line.split()[0] if line.startswith(paths[5].stem) else line for line in texts.read_text().splitlines()]
    texts.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a dirty corpus and a spec that searches on it."""
    place = tmp_path_factory.mktemp("search")
    counts, voices = SplitCounts(train=60, dev=8, test=8), SplitCounts(train=4, dev=2, test=2)
    synthesise(SyntheticSettings(speakers=voices, utterances=counts), place / "speech")
    spoil(place / "speech")
    (place / "phones").mkdir()
    for split in ("train", "dev", "test"):
        (place / "speech" / "phones" / f"{split}.txt").rename(place / "phones" / f"speech-{split}.txt")
    corpus = {
        "kind": "librispeech", "root": str(place / "speech"), "phones": str(place / "phones"), "max_skipped": 0.15,
        "splits": {"train": ["train"], "dev": ["dev"], "test": ["test"]},
    }  # fmt: skip
    (place / "tiny.yaml").write_text(yaml.safe_dump({**SPEC, "corpus": corpus}))
    return place


@pytest.fixture(scope="module")
def searched(place: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    return place, process("search", place / "tiny.yaml", "--storage", place / "searches", "--json")


pytestmark = [pytest.mark.ray, pytest.mark.mlflow, pytest.mark.timeout(900)]


def test_search_prints_one_document(searched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = searched
    assert done.returncode == 0, done.stderr
    document = json.loads(done.stdout)
    assert {"name", "objectives", "trials", "front", "hypervolume", "reference_point"} <= document.keys()
    ran = [trial for trial in document["trials"] if trial["state"] != "infeasible"]
    assert [trial["state"] for trial in ran] == ["complete"] * 3
    assert all({"eval/per", "eval/wer", "test/per"} <= trial["metrics"].keys() for trial in ran)
    assert document["front"] == sorted(document["front"], key=lambda n: document["trials"][n]["cost"]["macs_g"])


def test_search_says_what_it_skipped(searched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    _, done = searched
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("skipped")]
    assert line.startswith("skipped 6: ")


def test_search_leaves_pictures_and_checkpoints(searched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    folder = searched[0] / "searches" / "tiny"
    assert (folder / "front.png").read_bytes().startswith(b"\x89PNG")
    assert "plotly" in (folder / "front.html").read_text()
    assert (folder / "trials" / "0000" / "student" / "model.safetensors").exists()


def test_front_json_is_what_the_search_printed(
    searched: tuple[Path, subprocess.CompletedProcess[str]], raysearch: Run
) -> None:
    place, done = searched
    code, out, _ = raysearch("front", "tiny", "--storage", place / "searches", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(done.stdout)


def test_mlflow_holds_a_parent_and_a_child_a_trial(searched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    from mlflow import MlflowClient

    place, done = searched
    document = json.loads(done.stdout)
    client = MlflowClient(f"sqlite:///{place / 'searches' / 'mlflow.db'}")
    (experiment,) = [e for e in client.search_experiments() if "tiny" in e.name]
    runs = client.search_runs([experiment.experiment_id])
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert len(runs) == len(children) + 1
    complete = [run for run in children if run.data.tags["raysearch.state"] == "complete"]
    assert len(complete) == 3
    assert all({"eval/per", "eval/wer", "cost/macs_g"} <= run.data.metrics.keys() for run in complete)
    assert sum(run.data.tags["raysearch.pareto"] == "true" for run in children) == len(document["front"])
    (parent,) = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    assert "front.json" in {artifact.path for artifact in client.list_artifacts(parent.info.run_id)}


@pytest.mark.slow
def test_same_seed_gives_the_same_study(searched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    place, done = searched
    again = process("search", place / "tiny.yaml", "--name", "twin", "--storage", place / "searches", "--json")
    assert again.returncode == 0, again.stderr
    assert [essence(trial) for trial in trials(again)] == [essence(trial) for trial in trials(done)]


@pytest.mark.slow
def test_resume_extends_a_finished_search_on_ray(searched: tuple[Path, subprocess.CompletedProcess[str]]) -> None:
    place, done = searched
    shutil.copytree(place / "searches", place / "others")
    longer = process("resume", "tiny", "--trials", "4", "--storage", place / "others", "--json")
    assert longer.returncode == 0, longer.stderr
    assert_extended(trials(done), json.loads(longer.stdout)["trials"])


def test_resume_extends_a_finished_search(
    searched: tuple[Path, subprocess.CompletedProcess[str]], raysearch: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, done = searched
    leave_ray_out(monkeypatch)
    code, out, err = raysearch("resume", "tiny", "--trials", 4, "--storage", place / "searches", "--json")
    assert code == 0, err
    assert_extended(trials(done), json.loads(out)["trials"])


def assert_extended(before: list[dict[str, Any]], after: list[dict[str, Any]]) -> None:
    assert [trial["state"] for trial in after].count("complete") == 4
    assert after[: len(before)] == before


def trials(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(done.stdout)["trials"]
    return found


def essence(trial: dict[str, Any]) -> tuple[Any, ...]:
    """What must be equal from run to run: all but times."""
    errors = {key: value for key, value in trial["metrics"].items() if not key.endswith(("_per_s", "seconds"))}
    return trial["number"], trial["state"], trial["config"], trial["cost"], errors


@pytest.fixture
def refused(raysearch: Run) -> Callable[..., str]:
    """The one line with which a verb refuses what it is given."""

    def line(*words: str | Path) -> str:
        code, out, err = raysearch(*words)
        assert (code, out) == (2, ""), err
        assert err.count("\n") == 1, err
        return err

    return line


def test_used_name_is_refused_with_the_resume_command(
    searched: tuple[Path, subprocess.CompletedProcess[str]], refused: Callable[..., str]
) -> None:
    place, _ = searched
    assert "raysearch resume tiny" in refused("search", place / "tiny.yaml", "--storage", place / "searches")


@pytest.mark.parametrize(
    ("override", "expected"),
    [
        ("serach.trials=3", "serach: unknown key"),
        ("search.trials=many", "search.trials: 'many'; expected"),
        ("space.student.width={choice: [30]}", "space.student.width.choice[0]: 30; expected a multiple of"),
        ("corpus.root=nowhere", "nowhere: no such folder"),
        ("space.targets.clusters={choice: [100000]}", "space.targets.clusters: 100000; expected at most"),
    ],
)
def test_bad_input_is_refused_in_one_line(
    place: Path, refused: Callable[..., str], override: str, expected: str
) -> None:
    arguments = ("--name", "refused", "--storage", place / "refused", "--set", override)
    assert expected in refused("search", place / "tiny.yaml", *arguments)


def test_unknown_search_is_refused_with_the_known_ones(
    searched: tuple[Path, subprocess.CompletedProcess[str]], refused: Callable[..., str]
) -> None:
    assert "tiny" in refused("front", "nothing", "--storage", searched[0] / "searches")
