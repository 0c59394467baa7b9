import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import mlflow
import numpy as np
import pytest

from raysearch.deploy.pick import PickRequest, pick_candidates, picks_text
from raysearch.deploy.runtime.transcribe import OnnxModel
from raysearch.errors import InputError, WorkError
from raysearch.exported.latency import Load
from raysearch.search.reading import read_document
from raysearch.storage.folder import SearchFolder
from tests.deploy.lacking import run_without

pytestmark = pytest.mark.mlflow
ORDER = {
    "budgets": [None],
    "params_m": None,
    "size_mb": None,
    "latency_ms": None,
    "errors": {},
    "objective": "macs",
    "knee": False,
    "precisions": ["fp32", "int8"],
    "load": Load(seconds=0.5),
    "model": None,
    "alias": "candidate",
    "tracking": None,
}


def pick(search: SearchFolder, **order):
    return pick_candidates(search, PickRequest(**(ORDER | order)), lambda line: None)


@pytest.fixture(scope="module")
def registered(search: SearchFolder):
    (found,) = pick(search, model="asr")
    return found


def test_pick_is_measured_as_it_is_shipped(search: SearchFolder, registered) -> None:
    assert registered.trial == 0
    assert [row.file for row in registered.measured] == ["model.onnx", "model.int8.onnx"]
    for row in registered.measured:
        assert row.error.low <= row.error.value <= row.error.high
        assert sum(rate.cuts for rate in row.groups.values()) == row.error.cuts == 6
        assert 0 < row.latency.median_ms <= row.latency.p95_ms
    assert "real-time factor" in picks_text([registered])


def test_registered_model_loads_back_and_gives_the_same_answers(
    search: SearchFolder, registered, monkeypatch: pytest.MonkeyPatch
) -> None:
    # MLflow puts the model's copy of this package before the package itself, where processes started later find it.
    monkeypatch.setattr(sys, "path", [*sys.path])
    mlflow.set_tracking_uri(search.links().tracking)
    loaded = mlflow.pyfunc.load_model("models:/asr@candidate")
    audio_BS = (0.1 * np.random.default_rng(0).standard_normal((2, 24_000))).astype(np.float32)
    samples_B = np.array([24_000, 15_000])
    model = OnnxModel(registered.export / "model.onnx")
    expected = [" ".join(model.read(row[:count])) for row, count in zip(audio_BS, samples_B, strict=True)]
    assert loaded.predict({"audio": audio_BS, "samples": samples_B})["text"].tolist() == expected


def test_version_carries_tags_card_and_pins(search: SearchFolder, registered, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(search.links().tracking)
    client = mlflow.MlflowClient()
    version = client.get_model_version_by_alias("asr", "candidate")
    assert version.tags["raysearch.search"] == "made-up"
    assert version.tags["raysearch.trial"] == "0"
    assert float(version.tags["raysearch.macs_g"]) == pytest.approx(registered.macs_g, rel=1e-3)
    assert float(version.tags["raysearch.test_per"]) == pytest.approx(registered.measured[0].error.value, abs=0.01)
    local = Path(mlflow.artifacts.download_artifacts(artifact_uri=version.source, dst_path=str(tmp_path)))
    pins = (local / "requirements.txt").read_text()
    assert "onnxruntime==" in pins
    assert "torch" not in pins
    cards = list(local.rglob("MODEL_CARD.md"))
    assert cards
    location = mlflow.get_experiment_by_name("raysearch/made-up").artifact_location
    assert location == (search.root / "mlartifacts/made-up").as_uri()
    assert "gender" in cards[0].read_text()
    assert (cards[0].parent / "front.png").stat().st_size > 10_000


def test_plain_onnx_loads_where_no_code_of_a_model_may_run(search: SearchFolder, registered, tmp_path: Path) -> None:
    code = (
        "import mlflow, onnxruntime, numpy as np\n"
        f"mlflow.set_tracking_uri({search.links().tracking!r})\n"
        "model = mlflow.onnx.load_model('models:/asr@candidate')\n"
        "session = onnxruntime.InferenceSession(model.SerializeToString())\n"
        "audio = {'audio': np.zeros((1, 16000), np.float32), 'samples': np.array([16000])}\n"
        "print(session.run(None, audio)[0].shape[0])\n"
        "import sys\n"
        "print(any(name.split('.')[0] == 'raysearch' for name in sys.modules))"
    )
    # Read from MLflow 3.18 on; earlier ones load all models.
    off = {"MLFLOW_ALLOW_MODEL_CODE_EXECUTION": "false"}
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, cwd=tmp_path, env=os.environ | off, capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stdout.split() == ["1", "False"]


def test_registering_leaves_a_logged_model_and_a_description_with_its_picture(search: SearchFolder, registered) -> None:
    mlflow.set_tracking_uri(search.links().tracking)
    client = mlflow.MlflowClient()
    version = client.get_model_version_by_alias("asr", "candidate")
    experiment = client.get_experiment_by_name("raysearch/made-up")
    (model,) = client.search_logged_models([experiment.experiment_id], "model_type = 'export'")
    assert model.tags.items() >= version.tags.items() >= {("raysearch.sha256", model.tags["raysearch.sha256"])}
    assert {metric.key for metric in model.metrics} >= {"test/per", "cost/macs_g", "cost/latency_ms"}
    assert f"](get-artifact?path=card%2Ffront-small.png&run_uuid={version.run_id})" in version.description
    assert "front-small.png" in {Path(file.path).name for file in client.list_artifacts(version.run_id, "card")}


def test_registered_model_needs_neither_torch_nor_our_package(search: SearchFolder, registered, tmp_path: Path) -> None:
    code = (
        "import mlflow, numpy as np, json\n"
        f"mlflow.set_tracking_uri({search.links().tracking!r})\n"
        "model = mlflow.pyfunc.load_model('models:/asr@candidate')\n"
        "audio = np.zeros((1, 16000), np.float32)\n"
        "print(json.dumps(model.predict({'audio': audio, 'samples': np.array([16000])})['text'].tolist()))\n"
        "import sys\n"
        "ours = [module for name, module in sys.modules.items() if name.split('.')[0] == 'raysearch']\n"
        "print(json.dumps([module.__file__ for module in ours]))"
    )
    found = run_without("torch lhotse ray optuna onnx", code, cwd=tmp_path)
    assert found.returncode == 0, found.stderr
    texts, files = map(json.loads, found.stdout.splitlines())
    assert len(texts) == 1
    # This package is installed here, and must not lend the copy what it lacks.
    assert len(files) > 3
    assert all("code" in Path(file).parts for file in files)


def test_several_budgets_get_aliases_of_their_own_and_stderr_is_ours(
    raysearch, search: SearchFolder, registered
) -> None:
    words = ["--max-macs", 1.5, "--max-macs", 100, "--seconds", 0.5, "--precision", "fp32", "--precision", "int8"]
    code, out, err = raysearch("pick", search.name, *words, "--register", "asr", "--storage", search.root, "--json")
    assert code == 0, err
    aliases = [one["registered"]["alias"] for one in json.loads(out)["picks"]]
    assert aliases == ["candidate-1-5g", "candidate-100g"]
    assert all(line.startswith(("trial ", "model.", "writing ", "tracing ")) for line in err.splitlines()), err
    # Tests that follow pick it in other formats. Which of two toys has fewer errors differs with the processor.
    shutil.rmtree(search.path / "exports" / "0001-phonemes", ignore_errors=True)


def test_export_that_differs_is_not_registered(search: SearchFolder, registered, tmp_path: Path) -> None:
    """A student trained on after its export: what would be registered is no longer the trial."""
    copied = SearchFolder(tmp_path, search.name)
    shutil.copytree(search.path, copied.path)
    (copied.trial(0) / "student/model.safetensors").write_bytes(
        (copied.trial(1) / "student/model.safetensors").read_bytes()
    )
    with pytest.raises((InputError, WorkError), match=r"weights|not registered"):
        pick(copied, model="asr")


def test_picked_trial_is_shipped_though_another_is_better_in_the_objective(search: SearchFolder) -> None:
    front = [member.number for member in read_document(search).members()]
    assert [pick(search, trial=number)[0].trial for number in front] == front


def test_trial_that_is_not_on_the_front_is_not_picked(search: SearchFolder) -> None:
    with pytest.raises(InputError, match="--trial: 99; expected one of"):
        pick(search, trial=99)
    with pytest.raises(InputError, match="--trial: given with --knee"):
        pick(search, trial=0, knee=True)


def test_alias_that_mlflow_refuses_is_refused_first(search: SearchFolder) -> None:
    with pytest.raises(InputError, match="--alias: v1"):
        pick(search, model="asr", alias="v1")
