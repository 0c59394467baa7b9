"""Registers a trial as a candidate, as `raysearch pick --register` does: it is exported, verified, and gets an alias.

All is done in the name of the caller, so MLflow's permissions hold.
"""

from __future__ import annotations

import base64
import os
import re
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

from anyio.to_thread import run_sync
from pydantic import StringConstraints
from starlette.requests import Request
from starlette.responses import JSONResponse

from mlflow_server.jobs import Job, Jobs, Order
from mlflow_server.loopback import Loopback, RefusedError, static_prefix
from mlflow_server.runs import tags_of, trial_run
from mlflow_server.storage import STORAGE, token_of
from raysearch.errors import InputError
from raysearch.front.document import SearchDocument
from raysearch.settings import Settings
from raysearch.tracking import tags

Name = Annotated[str, StringConstraints(pattern=r"^[\w][\w.\- ]{0,99}$")]
Alias = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][\w\-]{0,99}$")]


class Candidate(Settings):
    """What the page asks to register."""

    trial: int
    """Number of the trial in its search."""
    model: Name
    """Name of the registered model, which is made if there is none."""
    alias: Alias
    """Alias that is moved to the new version, such as `champion`."""
    move: bool = False
    """Whether to take the alias from a verified version that holds it."""


class HeldError(RefusedError):
    """A verified model holds the alias. The page asks for another one, or whether to move it."""

    def __init__(self, reason: str) -> None:
        super().__init__(JSONResponse({"reason": reason, "held": True}, 409))


async def registrations(mlflow: Loopback, run_id: str) -> dict[str, Any]:
    """Why trials of a search cannot be registered here, empty if they can, and its jobs, the latest first.

    Raises: RefusedError if the caller may not read the search's run.
    """
    run = (await mlflow.api("GET", "runs/get", run_id=run_id))["run"]
    reason = await run_sync(lacking, tags_of(run["data"]))
    jobs = [] if reason else await run_sync(_jobs().of, run_id)
    return {"reason": reason, "jobs": [job.model_dump() for job in jobs]}


async def register(mlflow: Loopback, request: Request, run_id: str, document: SearchDocument, wanted: Candidate) -> Job:
    """Starts the job that registers a trial.

    Raises: HeldError if a verified model holds the alias; RefusedError if the caller may not do this; InputError if it
    cannot be done.
    """
    run = (await mlflow.api("GET", "runs/get", run_id=run_id))["run"]
    if reason := await run_sync(lacking, tags_of(run["data"])):
        raise InputError(reason)
    if wanted.trial not in document.front:
        raise InputError(f"{document.name}: trial: {wanted.trial}; expected a member of the front")
    trial_id = (await trial_run(mlflow, run_id, wanted.trial))["info"]["run_id"]
    if not wanted.move:
        await _check_alias(mlflow, wanted)
    # Whoever may not edit the trial's run is refused here, before anything is made.
    await mlflow.api("POST", "runs/set-tag", run_id=trial_id, key=tags.CANDIDATE, value=wanted.model)
    order = Order(run_id=run_id, search=document.name, trial=wanted.trial, model=wanted.model, alias=wanted.alias)
    return await run_sync(_jobs().start, order, _own_address(request), _credentials(request))


def lacking(search: dict[str, str]) -> str:
    """Why no trial of a search can be registered by this server; empty if they can. `search` has its run's tags."""
    name = search.get(tags.SEARCH, "")
    instead = f"register it where it lies: raysearch pick {name} --trial N --register MODEL"
    storage = os.environ.get(STORAGE, "")
    if not storage or "://" in storage:
        return f"{name}: {STORAGE} names no folder, so this server has no searches to register from; {instead}"
    if find_spec("torch") is None:
        return f"{name}: this server lacks torch, which exports and verifies; {instead}"
    # The name comes from MLflow, where others write too: it must not lead out of the folder.
    if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name, re.ASCII):
        return f"{name}: not a search's name; expected letters, digits, and . _ -"
    token = token_of(Path(storage, name))
    if token is None:
        return f"{name}: this server's storage does not hold it; {instead}"
    # Earlier versions had no token; then the folder must be the very one.
    same = token == search[tags.TOKEN] if tags.TOKEN in search else Path(storage, name) == Path(search[tags.FOLDER])
    return "" if same else f"{name}: this server's storage holds another search of this name; {instead}"


def _jobs() -> Jobs:
    return Jobs(Path(os.environ[STORAGE]).expanduser().resolve())


async def _check_alias(mlflow: Loopback, wanted: Candidate) -> None:
    """Raises: HeldError if a verified version holds the alias."""
    try:
        held = await mlflow.api("GET", "registered-models/alias", name=wanted.model, alias=wanted.alias)
    except RefusedError as err:
        # There is no such model or alias, which some versions of MLflow call a wrong parameter. With authentication on,
        # MLflow refuses to say whether there is one: then it refuses the job too, unless the model is new.
        if err.response.status_code in (403, 404) or err.code == "INVALID_PARAMETER_VALUE":
            return
        raise
    version = held["model_version"]
    about = tags_of(version)
    if tags.SHA256 in about:
        raise HeldError(
            f"{wanted.model}@{wanted.alias} is version {version['version']}, which was verified: trial "
            f"{about.get(tags.TRIAL, '?')} of {about.get(tags.SEARCH, '?')}; name another alias, or move this one"
        )


def _own_address(request: Request) -> str:
    """The address at which a process on this machine reaches this MLflow."""
    # Behind a proxy the address in the request is the proxy's. This one is the socket's that the request came through.
    host, port = request.scope["server"]
    host = f"[{host}]" if ":" in host else host
    given = os.environ.get("MLFLOW_TRACKING_URI", "")
    return given if given.startswith("http") else f"http://{host}:{port}{static_prefix()}"


def _credentials(request: Request) -> dict[str, str]:
    """What MLflow's client needs to be the caller: the name and password, or the token, that came with the request."""
    kind, _, secret = request.headers.get("authorization", "").partition(" ")
    if kind.lower() == "bearer":
        return {"MLFLOW_TRACKING_TOKEN": secret}
    if kind.lower() == "basic":
        user, _, password = base64.b64decode(secret).decode("utf-8").partition(":")
        return {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": password}
    return {}
