"""Registers a verified export as a version of an MLflow model: code, weights, signature, card, tags and alias."""

from __future__ import annotations

import importlib.metadata
import io
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mlflow
import numpy as np
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
from raysearch.front.plots import draw_png
from raysearch.search.reading import read_document
from raysearch.settings import Outcome
from raysearch.storage.folder import SearchFolder

CARD_NAME = "MODEL_CARD.md"
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
    mlflow.set_tracking_uri(tracking)
    mlflow.set_registry_uri(tracking)
    # The run belongs beside those that the mirror has made of this search.
    _enter_experiment(folder, tracking)
    with TemporaryDirectory() as temporary, mlflow.start_run(run_name=f"register trial {manifest.trial}"):
        card, code = Path(temporary, "card"), _runtime(Path(temporary))
        _write_card(card, folder, manifest, candidate, corpus)
        version = _log_model(out, manifest, card, code, model)
        mlflow.log_artifacts(str(card), "card")
        mlflow.log_metrics({f"test/{manifest.metric}": manifest.measured[0].error.value, "macs_g": manifest.macs_g})
        description = (card / CARD_NAME).read_text(encoding="utf-8")
    client = mlflow.MlflowClient()
    for key, tag in _tags(manifest).items():
        client.set_model_version_tag(model, version, key, tag)
    client.update_model_version(model, version, description=description)
    client.set_registered_model_alias(model, alias, version)
    uri = f"models:/{model}@{alias}"
    return Registered(model=model, version=int(version), alias=alias, uri=uri, tracking=tracking)


def _enter_experiment(folder: SearchFolder, tracking: str) -> None:
    """Makes the experiment that the MLflow mirror fills the current one.

    Where the tracking address is a database on disk, artifacts go where the mirror's go. Left to itself, MLflow would
    put them into the working directory.
    """
    name = f"raysearch/{folder.name}"
    if mlflow.get_experiment_by_name(name) is None:
        local = tracking.startswith("sqlite")
        location = f"{folder.artifacts}/{folder.name}" if local else None
        mlflow.create_experiment(name, artifact_location=location)
    mlflow.set_experiment(name)


def _write_card(card: Path, folder: SearchFolder, manifest: Manifest, candidate: Candidate, corpus: Corpus) -> None:
    """Writes the model card, the picture of the front with the trial ringed, and the export's manifest."""
    card.mkdir()
    document = read_document(folder)
    record = next(trial for trial in document.trials if trial.number == manifest.trial)
    text = model_card(manifest, folder.spec(), document, record, corpus, candidate.notes)
    (card / CARD_NAME).write_text(text, encoding="utf-8")
    draw_png(document, card / "front.png", ringed=manifest.trial)
    (card / "export.json").write_text(manifest.model_dump_json(indent=2), encoding="utf-8")


def _log_model(out: Path, manifest: Manifest, card: Path, code: Path, model: str) -> str:
    """Logs the model to the current run and registers it. Returns the number of the new version of `model`."""
    with _quiet():
        logged = mlflow.pyfunc.log_model(
            name="model",
            python_model=str(code / "raysearch/deploy/runtime/pyfunc_model.py"),
            artifacts={"model": str(out / manifest.measured[0].file), "card": str(card)},
            code_paths=[str(code / "raysearch")],
            signature=_signature(manifest.task),
            input_example=_example(),
            pip_requirements=[f"{name}=={importlib.metadata.version(name)}" for name in REQUIREMENTS],
            registered_model_name=model,
            metadata={"search": manifest.search, "trial": manifest.trial},
        )
    return str(logged.registered_model_version)


def _tags(manifest: Manifest) -> dict[str, str]:
    first = manifest.measured[0]
    return {
        "search": manifest.search,
        "trial": str(manifest.trial),
        "task": manifest.task,
        "macs_g": f"{manifest.macs_g:.4g}",
        "params_m": f"{manifest.params_m:.4g}",
        f"test_{first.metric}": f"{first.error.value:.2f}",
        f"test_{first.metric}_interval": f"{first.error.low:.2f} - {first.error.high:.2f}",
        "latency_ms": f"{first.latency.median_ms:.2f}",
        "sha256": manifest.files[first.file],
        "groups": json.dumps({name: round(rate.value, 2) for name, rate in first.groups.items()}),
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
    """Whether MLflow takes the alias: letters, digits, `-` and `_`, but no version such as `v1`."""
    return re.fullmatch(r"(?!v\d+$)[A-Za-z][\w-]*", alias) is not None


@contextmanager
def _quiet() -> Iterator[None]:
    """Silences MLflow, which talks on stderr about what is as it should be, whatever its switches say.

    What goes wrong it raises, so that nothing is lost.
    """
    with redirect_stderr(io.StringIO()):
        yield
