"""Registers a trial as a candidate: a version of a model in MLflow, with an alias.

All is done in the name of the caller, so MLflow's permissions hold.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import StringConstraints

from mlflow_server.loopback import Loopback, RefusedError
from raysearch.errors import InputError
from raysearch.front.document import SearchDocument
from raysearch.front.objective import value
from raysearch.front.trials import TrialRecord
from raysearch.settings import Settings

CANDIDATE, PARENT, TRIAL = "raysearch.candidate", "mlflow.parentRunId", "raysearch.trial"
FOLDERS = ("model", "student")
"""Artifacts of a trial's run that can be registered, best first: an exported model, or the student's checkpoint."""
Name = Annotated[str, StringConstraints(pattern=r"^[\w][\w.\- ]{0,99}$")]
Alias = Annotated[str, StringConstraints(pattern=r"^[\w\-]{1,100}$")]


class Candidate(Settings):
    """What the page asks to register."""

    trial: int
    """Number of the trial in its search."""
    model: Name
    """Name of the registered model, which is made if there is none."""
    alias: Alias
    """Alias that is moved to the new version, such as `champion`."""


async def register(mlflow: Loopback, run_id: str, document: SearchDocument, wanted: Candidate) -> dict[str, Any]:
    """Registers a trial and returns `{"model", "version", "alias", "run_id"}`. A second time it keeps its version.

    Raises: RefusedError if the caller may not do this; InputError if MLflow has no such trial or no checkpoint of it.
    """
    record = next((trial for trial in document.trials if trial.number == wanted.trial), None)
    run = await _trial_run(mlflow, run_id, wanted.trial)
    if record is None or run is None:
        raise InputError(f"{document.name}: trial: {wanted.trial}; expected a trial that MLflow has")
    trial_id, root = run["info"]["run_id"], run["info"]["artifact_uri"]
    folder = await _folder(mlflow, trial_id)
    if folder is None:
        raise InputError(
            f"{document.name}: trial {wanted.trial}: no checkpoint in MLflow; expected one, "
            f"as front members have after: raysearch sync {document.name}"
        )
    # Whoever may not edit the trial's run is refused by this first call, before anything is made.
    await mlflow.api("POST", "runs/set-tag", run_id=trial_id, key=CANDIDATE, value=wanted.model)
    await _ensure_model(mlflow, wanted.model)
    version = await _version(mlflow, wanted.model, trial_id)
    if version is None:
        made = await mlflow.api(
            "POST", "model-versions/create", name=wanted.model, source=f"{root}/{folder}", run_id=trial_id,
            tags=_tags(document, record), description=f"Trial {record.number} of search {document.name}.",
        )  # fmt: skip
        version = made["model_version"]["version"]
    await mlflow.api("POST", "registered-models/alias", name=wanted.model, alias=wanted.alias, version=version)
    return {"model": wanted.model, "version": version, "alias": wanted.alias, "run_id": trial_id}


async def _trial_run(mlflow: Loopback, run_id: str, number: int) -> dict[str, Any] | None:
    """The run of a trial below the run of its search; None if there is none."""
    parent = (await mlflow.api("GET", "runs/get", run_id=run_id))["run"]
    found = await mlflow.api(
        "POST",
        "runs/search",
        experiment_ids=[parent["info"]["experiment_id"]],
        filter=f"tags.`{PARENT}` = '{run_id}' AND tags.`{TRIAL}` = '{number}'",
        max_results=1,
    )
    return next(iter(found.get("runs", [])), None)


async def _folder(mlflow: Loopback, run_id: str) -> str | None:
    """The best folder of `FOLDERS` that a run has among its artifacts; None if it has none."""
    files = (await mlflow.api("GET", "artifacts/list", run_id=run_id)).get("files", [])
    folders = {file["path"] for file in files if file.get("is_dir")}
    return next((folder for folder in FOLDERS if folder in folders), None)


async def _ensure_model(mlflow: Loopback, name: str) -> None:
    """Makes the registered model unless there is one of that name."""
    try:
        await mlflow.api("POST", "registered-models/create", name=name)
    except RefusedError as err:
        if err.code != "RESOURCE_ALREADY_EXISTS":
            raise


async def _version(mlflow: Loopback, name: str, run_id: str) -> str | None:
    """The version of a model that was made from a run; None if there is none."""
    found = await mlflow.api("GET", "model-versions/search", filter=f"name = '{name}' AND run_id = '{run_id}'")
    return next((version["version"] for version in found.get("model_versions", [])), None)


def _tags(document: SearchDocument, record: TrialRecord) -> list[dict[str, str]]:
    """Tags of the model version: which trial it is, what it costs, and its errors."""
    tags = {
        "raysearch.search": document.name,
        TRIAL: str(record.number),
        "raysearch.method": record.method,
        "raysearch.macs_g": f"{record.cost.macs_g:.6g}",
        "raysearch.params_m": f"{record.cost.params_m:.6g}",
        **{
            f"raysearch.{name}": f"{value(record, name):.6g}"
            for name in document.objectives
            if name not in ("macs", "params")
        },
    }
    return [{"key": key, "value": text} for key, text in tags.items()]
