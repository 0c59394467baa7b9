"""What the page asks when a reader wants to know more of a search, below `/raysearch/api/searches/{run_id}/`."""

from __future__ import annotations

from anyio.to_thread import run_sync
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mlflow_server.errors import recording, shared_errors
from mlflow_server.loopback import Loopback, checked_run_id
from mlflow_server.models import described, find_model, made_model
from mlflow_server.runs import curves, run_address, trial_run
from mlflow_server.searches import Documents, plain_json, settings_document
from mlflow_server.storage import search_folder
from raysearch.errors import InputError

MOST_CURVES = 8
"""The most trials whose curves are drawn at once: there are eight colours and shapes."""
MOST_BESIDE = 2
"""The most trials whose errors stand beside each other."""


def detail_routes(mlflow_app: ASGIApp, documents: Documents) -> list[Route]:
    """The routes. `mlflow_app` is the app around the page, which holds all its data."""

    async def to_run(request: Request) -> Response:
        mlflow = Loopback(mlflow_app, request)
        run = await trial_run(mlflow, _search(request), request.path_params["number"])
        return RedirectResponse(run_address(run))

    async def of_curves(request: Request) -> Response:
        numbers = _trials(request, MOST_CURVES)
        found = await curves(
            Loopback(mlflow_app, request), _search(request), numbers, request.query_params.get("metric", "train/loss")
        )
        return Response(plain_json(found), media_type="application/json")

    async def of_errors(request: Request) -> Response:
        mlflow, run_id, numbers = Loopback(mlflow_app, request), _search(request), _trials(request, MOST_BESIDE)
        document = await documents.get(mlflow, run_id)
        records = {trial.number: trial for trial in document.trials}
        if missing := [number for number in numbers if number not in records]:
            raise InputError(f"{document.name}: trial: {missing[0]}; expected a trial of this search")
        folder = await search_folder(mlflow, run_id)
        found = await run_sync(shared_errors, folder, [records[number] for number in numbers], _name(request))
        return Response(plain_json(found), media_type="application/json")

    async def of_recording(request: Request) -> Response:
        folder = await search_folder(Loopback(mlflow_app, request), _search(request))
        cut = request.query_params.get("cut", "")
        content = await run_sync(recording, folder, request.path_params["number"], _name(request), cut)
        return Response(content, media_type="audio/wav", headers={"cache-control": "private, max-age=3600"})

    async def of_settings(request: Request) -> Response:
        mlflow, run_id = Loopback(mlflow_app, request), _search(request)
        document = await documents.get(mlflow, run_id)
        content = await mlflow.artifact(run_id, "importances.json")
        return Response(await run_sync(settings_document, document, content), media_type="application/json")

    async def of_model(request: Request) -> Response:
        folder = await search_folder(Loopback(mlflow_app, request), _search(request))
        number = request.path_params["number"]
        file = await made_model(folder, number) if request.method == "POST" else find_model(folder, number)
        return Response(plain_json(await described(file)), media_type="application/json")

    async def model_file(request: Request) -> Response:
        folder = await search_folder(Loopback(mlflow_app, request), _search(request))
        file = find_model(folder, request.path_params["number"])
        if file is None:
            raise HTTPException(404, "no model yet")
        return FileResponse(file, media_type="application/octet-stream", headers={"cache-control": "private, no-cache"})

    at = "/api/searches/{run_id}"
    return [
        Route(f"{at}/trials/{{number:int}}/run", to_run),
        Route(f"{at}/trials/{{number:int}}/recording", of_recording),
        Route(f"{at}/trials/{{number:int}}/model", of_model, methods=["GET", "POST"]),
        Route(f"{at}/trials/{{number:int}}/model.onnx", model_file),
        Route(f"{at}/curves", of_curves),
        Route(f"{at}/settings", of_settings),
        Route(f"{at}/errors", of_errors),
    ]


def _search(request: Request) -> str:
    return checked_run_id(request.path_params["run_id"])


def _name(request: Request) -> str:
    """The name of an error in reports that a request asks for, such as `eval/per`."""
    return request.query_params.get("error", "")


def _trials(request: Request, most: int) -> list[int]:
    """The trials that a request names. Raises: InputError if there are none, or too many, or one is no number."""
    texts = request.query_params.getlist("trial")
    if not 1 <= len(texts) <= most or not all(text.isdecimal() and len(text) < 10 for text in texts):
        raise InputError(f"trial: {', '.join(texts)[:100] or 'none'}; expected 1 to {most} numbers of trials")
    return [int(text) for text in texts]
