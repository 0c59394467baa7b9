"""Registers a verified export as a version of an MLflow model: weights, code, signature, card, tags and alias.

A version has two flavours over one file. `mlflow.onnx.load_model` gives the ONNX model as it is and runs none of our
code, so it loads where MLflow refuses models that bring code (`MLFLOW_ALLOW_MODEL_CODE_EXECUTION=false`).
`mlflow.pyfunc.load_model` gives a model that transcribes, by the few files of this package that lie beside it.
"""

from __future__ import annotations

import importlib.metadata
import io
import json
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
from matplotlib.image import imread, imsave
from mlflow.exceptions import MlflowException
from mlflow.models import Model
from mlflow.models.signature import ModelSignature
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from mlflow.types.schema import Array

import raysearch
from raysearch.corpora.corpus import Corpus
from raysearch.deploy.card import model_card
from raysearch.deploy.choosing import Candidate
from raysearch.deploy.manifest import Manifest
from raysearch.deploy.runtime.transcribe import SAMPLE_RATE_HZ
from raysearch.deploy.verify import Verdict
from raysearch.errors import WorkError
from raysearch.files.databases import words_of
from raysearch.files.secrets import masked
from raysearch.front.plots import draw_png
from raysearch.search.reading import read_document
from raysearch.settings import Outcome
from raysearch.storage.folder import SearchFolder
from raysearch.tracking import tags
from raysearch.tracking.experiment import open_experiment

CARD_NAME, PICTURE_NAME = "MODEL_CARD.md", "front.png"
SMALL_NAME = "front-small.png"
"""The picture for MLflow's page of the version, which shows it as large as it is and cuts off what does not fit."""
LONGEST_DESCRIPTION = 5000
"""The most characters of a version's description that MLflow's database takes."""
MODEL_TYPE = "export"
"""Type of the logged models that are made here, which tells them from the candidates of the mirror."""
# Packages that MLflow installs where the model is served, in the versions of this environment.
REQUIREMENTS = ("mlflow", "numpy", "onnxruntime", "pandas")
RUNTIME = (
    "errors.py",
    "deploy/__init__.py",
    "deploy/runtime",
    "files/__init__.py",
    "files/recordings.py",
)
"""Files of this package that a registered model runs on, and that are kept with it: the runtime and what it imports.

The package's own `__init__.py` is not among them, since it offers verbs that the copy lacks. An empty one stands there.
"""


class Registered(Outcome):
    """A version of a registered model, as MLflow names it."""

    model: str
    version: int
    alias: str
    uri: str
    """Address by which MLflow loads the version: `models:/MODEL@ALIAS`."""
    tracking: str
    """Address of the MLflow server that holds it."""


def alias_of(alias: str, candidate: Candidate, several: bool) -> str:
    """The alias that was asked for. With several candidates each adds its budget, as in `candidate-160g`."""
    if not several:
        return alias
    # MLflow takes no dots in an alias.
    budget = candidate.limits.macs_g
    return f"{alias}-{candidate.trial:04d}" if budget is None else f"{alias}-{budget:g}g".replace(".", "-")


def register(
    folder: SearchFolder,
    out: Path,
    manifest: Manifest,
    verdict: Verdict,
    candidate: Candidate,
    corpus: Corpus,
    *,
    model: str,
    alias: str,
    tracking: str,
) -> Registered:
    """Adds the export in `out` to the registered model `model`, as a new version with this alias.

    Raises: WorkError if the export does not compute what its checkpoint computes.
    """
    if not verdict.ok:
        failed = "; ".join(f"{check.check}: {check.got}" for check in verdict.checks if not check.ok)
        raise WorkError(f"{out}: not registered, since it differs from its checkpoint: {failed}")
    # When a run ends, MLflow prints its address to stdout, which belongs to what verbs print.
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
    mlflow.set_tracking_uri(tracking)
    mlflow.set_registry_uri(tracking)
    try:
        version = _make_version(folder, out, manifest, candidate, corpus, model, alias)
    except MlflowException as err:
        raise WorkError(f"MLflow at {masked(tracking)}: {words_of(err)}; {out} stays, and is not registered") from err
    uri = f"models:/{model}@{alias}"
    return Registered(model=model, version=int(version), alias=alias, uri=uri, tracking=tracking)


def _make_version(
    folder: SearchFolder, out: Path, manifest: Manifest, candidate: Candidate, corpus: Corpus, model: str, alias: str
) -> str:
    """Makes the version with all that belongs to it, and returns its number. The alias moves last."""
    client = mlflow.MlflowClient()
    # The run belongs beside those that the mirror has made of this search. Where the tracking address is a database on
    # disk, artifacts go where the mirror's go. Left to itself, MLflow would put them into the working directory.
    local = mlflow.get_tracking_uri().startswith("sqlite")
    experiment_id = open_experiment(client, folder.name, folder.artifacts if local else None)
    trial_run = _trial_run(client, experiment_id, manifest.trial)
    about = _tags(manifest)
    below = {} if trial_run is None else {tags.PARENT: trial_run}
    name = f"register trial {manifest.trial}"
    with (
        TemporaryDirectory() as temporary,
        mlflow.start_run(experiment_id=experiment_id, run_name=name, tags=about | below) as run,
    ):
        card, code = Path(temporary, "card"), _runtime(Path(temporary))
        _write_card(card, folder, manifest, candidate, corpus)
        # First, since the logged model takes the metrics that its run has.
        mlflow.log_metrics(_metrics(manifest))
        mlflow.log_artifacts(str(card), "card")
        version = _log_model(out, manifest, card, code, model, about)
        description = _description((card / CARD_NAME).read_text(encoding="utf-8"), run.info.run_id)
    for key, tag in about.items():
        client.set_model_version_tag(model, version, key, tag)
    client.update_model_version(model, version, description=description)
    client.set_registered_model_alias(model, alias, version)
    if trial_run is not None:
        client.set_tag(trial_run, tags.CANDIDATE, model)
    return version


def _trial_run(client: mlflow.MlflowClient, experiment_id: str, trial: int) -> str | None:
    """Id of the run that the mirror has made of a trial; None if it has made none yet."""
    # Only the mirror's runs have a state.
    wanted = f"tags.`{tags.TRIAL}` = '{trial}' AND tags.`{tags.STATE}` LIKE '%'"
    found = client.search_runs([experiment_id], wanted, max_results=1)
    return found[0].info.run_id if found else None


def _description(card: str, run_id: str) -> str:
    """The card as MLflow's page of the version shows it, with the picture among the artifacts of the run.

    The page resolves the address against its own, so that it holds behind any prefix.
    """
    text = card.replace(f"]({PICTURE_NAME})", f"](get-artifact?path=card%2F{SMALL_NAME}&run_uuid={run_id})")
    more = "\n\n... see the artifact `card`."
    return text if len(text) <= LONGEST_DESCRIPTION else text[: LONGEST_DESCRIPTION - len(more)] + more


def _write_card(card: Path, folder: SearchFolder, manifest: Manifest, candidate: Candidate, corpus: Corpus) -> None:
    """Writes the model card, the picture of the front with the trial ringed, and the export's manifest."""
    card.mkdir()
    document = read_document(folder)
    record = next(trial for trial in document.trials if trial.number == manifest.trial)
    text = model_card(manifest, folder.spec(), document, record, corpus, candidate.notes)
    (card / CARD_NAME).write_text(text, encoding="utf-8")
    draw_png(document, card / PICTURE_NAME, ringed=manifest.trial)
    _halve(card / PICTURE_NAME, card / SMALL_NAME)
    (card / "export.json").write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def _halve(source: Path, target: Path) -> None:
    """Writes a picture at half its width and height: four pixels become their mean."""
    picture = imread(source)
    height, width = (side // 2 for side in picture.shape[:2])
    blocks = picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, -1)
    imsave(target, blocks.mean((1, 3)))


def _log_model(out: Path, manifest: Manifest, card: Path, code: Path, model: str, about: dict[str, str]) -> str:
    """Logs the model to the current run and registers it. Returns the number of the new version of `model`."""
    with _quiet():
        logged = Model.log(
            artifact_path=None,
            flavor=_TwoFlavours,
            name=f"trial-{manifest.trial:04d}-export",
            model_type=MODEL_TYPE,
            tags=about,
            registered_model_name=model,
            metadata={"search": manifest.search, "trial": manifest.trial},
            python_model=str(code / "raysearch/deploy/runtime/pyfunc_model.py"),
            artifacts={"model": str(out / manifest.measured[0].file), "card": str(card)},
            code_paths=[str(code / "raysearch")],
            signature=_signature(manifest.task),
            input_example=_example(),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
        )
    return str(logged.registered_model_version)


class _TwoFlavours:
    """What MLflow asks to write a model: the model as Python code, and the ONNX file in it by itself."""

    @staticmethod
    def save_model(path: str, mlflow_model: Model, **settings: Any) -> None:
        mlflow.pyfunc.save_model(path, mlflow_model=mlflow_model, **settings)
        # The second flavour names no folder of code. MLflow looks for code in the flavour that it loads.
        mlflow_model.add_flavor(
            "onnx",
            onnx_version=importlib.metadata.version("onnx"),
            data=f"artifacts/{Path(settings['artifacts']['model']).name}",
            providers=["CUDAExecutionProvider", "CPUExecutionProvider"],
        )
        mlflow_model.save(str(Path(path, "MLmodel")))


def _metrics(manifest: Manifest) -> dict[str, float]:
    """What was measured of the shipped file, as metrics of its run and of its logged model."""
    first = manifest.measured[0]
    return {
        f"test/{first.metric}": first.error.value,
        f"test/{first.metric}_low": first.error.low,
        f"test/{first.metric}_high": first.error.high,
        "cost/macs_g": manifest.macs_g,
        "cost/params_m": manifest.params_m,
        "cost/latency_ms": first.latency.median_ms,
        "cost/size_mb": first.size_bytes / 1e6,
    }


def _tags(manifest: Manifest) -> dict[str, str]:
    first = manifest.measured[0]
    return {
        tags.SEARCH: manifest.search,
        tags.TRIAL: str(manifest.trial),
        tags.TASK: manifest.task,
        tags.MACS_G: f"{manifest.macs_g:.4g}",
        tags.PARAMS_M: f"{manifest.params_m:.4g}",
        tags.test_error(first.metric): f"{first.error.value:.2f}",
        tags.test_interval(first.metric): f"{first.error.low:.2f} - {first.error.high:.2f}",
        tags.LATENCY_MS: f"{first.latency.median_ms:.2f}",
        tags.SHA256: manifest.files[first.file],
        tags.GROUPS: json.dumps({name: round(rate.value, 2) for name, rate in first.groups.items()}),
    }


def _runtime(folder: Path) -> Path:
    """The folder of a copy of the few files of this package that the model runs on."""
    package = Path(raysearch.__file__).parent
    for name in RUNTIME:
        source, target = package / name, folder / "code" / "raysearch" / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copyfile(source, target)
    (folder / "code" / "raysearch" / "__init__.py").touch()
    return folder / "code"


def _signature(task: str) -> ModelSignature:
    audio = TensorSpec(np.dtype(np.float32), (-1, -1), "audio")
    samples = TensorSpec(np.dtype(np.int64), (-1,), "samples")
    text, embedding = ColSpec(DataType.string, "text"), ColSpec(Array(DataType.double), "embedding")
    return ModelSignature(Schema([audio, samples]), Schema([embedding if task == "speaker" else text]))


def _example() -> dict[str, Any]:
    """An input example: a second of a tone, since a corpus' recordings may not be ours to pass on."""
    time_S = np.arange(SAMPLE_RATE_HZ) / SAMPLE_RATE_HZ
    audio_BS = (0.1 * np.sin(2 * np.pi * 440 * time_S)).astype(np.float32)[None]
    return {"audio": audio_BS, "samples": np.array([SAMPLE_RATE_HZ], dtype=np.int64)}


def is_alias(alias: str) -> bool:
    """Whether MLflow takes the alias: letters, digits, `-` and `_`, but no version such as `v1`, and not `latest`."""
    return re.fullmatch(r"(?!(v\d+|latest)$)[A-Za-z][\w-]*", alias, re.IGNORECASE) is not None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences MLflow, which talks on stderr about what is as it should be, whatever its switches say.

    What goes wrong it raises, so that nothing is lost.
    """
    with redirect_stderr(io.StringIO()):
        yield
