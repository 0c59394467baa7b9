"""The page and its API, below `/raysearch/`. All addresses in it are relative, so that it works below any prefix."""

from __future__ import annotations

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mlflow_server.assets import asset, page_text
from mlflow_server.detail_routes import detail_routes
from mlflow_server.guard import TOKEN_COOKIE, Guard, problem, token
from mlflow_server.loopback import Loopback, RefusedError, checked_run_id
from mlflow_server.register import Candidate, register, registrations
from mlflow_server.searches import LOOK, Documents, list_searches, page_document, plain_json, published_beside
from raysearch.errors import InputError
from raysearch.front.compare import compare_searches, compare_table

MOST_COMPARED = 8
"""The most searches that can be compared at once: the chart has eight symbols and no more."""


def create_page(mlflow_app: ASGIApp) -> Starlette:
    """Makes the routes of the page, behind the guard. `mlflow_app` is the app around it, which holds all its data."""
    documents = Documents()

    async def searches(request: Request) -> Response:
        return JSONResponse({"searches": await list_searches(Loopback(mlflow_app, request)), "look": LOOK})

    async def search(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        mlflow = Loopback(mlflow_app, request)
        document = await documents.get(mlflow, checked_run_id(run_id))
        published = await published_beside(mlflow, run_id, document)
        return Response(await run_sync(page_document, run_id, document, published), media_type="application/json")

    async def compared(request: Request) -> Response:
        run_ids = [checked_run_id(run_id) for run_id in request.query_params.getlist("search")]
        if not 2 <= len(run_ids) <= MOST_COMPARED:
            raise InputError(f"compare: search: {len(run_ids)} searches; expected 2 to {MOST_COMPARED}")
        mlflow = Loopback(mlflow_app, request)
        found = [await documents.get(mlflow, run_id) for run_id in run_ids]
        rows = [row.model_dump(mode="json") for row in compare_searches(found)]
        return Response(plain_json({"rows": rows, "table": compare_table(found)}), media_type="application/json")

    async def registered(request: Request) -> Response:
        run_id = checked_run_id(request.path_params["run_id"])
        wanted = Candidate.checked_json(await request.body())
        mlflow = Loopback(mlflow_app, request)
        job = await register(mlflow, request, run_id, await documents.get(mlflow, run_id), wanted)
        return JSONResponse(job.model_dump(), 202)

    async def jobs(request: Request) -> Response:
        run_id = checked_run_id(request.path_params["run_id"])
        return JSONResponse(await registrations(Loopback(mlflow_app, request), run_id))

    return Starlette(
        routes=[
            Route("/", _page),
            Route("/assets/{name:path}", asset),
            Route("/api/searches", searches),
            Route("/api/searches/{run_id}", search),
            Route("/api/searches/{run_id}/register", registered, methods=["POST"]),
            Route("/api/searches/{run_id}/registrations", jobs),
            Route("/api/compare", compared),
            *detail_routes(mlflow_app, documents),
        ],
        middleware=[Middleware(Guard, mlflow=mlflow_app)],
        exception_handlers={
            RefusedError: _refused,
            InputError: _wrong,
            HTTPException: lambda request, err: problem(err.status_code, err.detail),  # type: ignore[attr-defined]
        },
    )


async def _page(request: Request) -> Response:
    """The page itself, with the caller's token both in its text and in a cookie."""
    own = token(request)
    html = page_text().replace(b"{{token}}", own.encode())
    # No cache may store the page, since it holds the token.
    response = Response(html, media_type="text/html; charset=utf-8", headers={"cache-control": "no-store"})
    response.set_cookie(
        TOKEN_COOKIE, own, path=request.url.path, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return response


def _refused(request: Request, err: Exception) -> Response:
    assert isinstance(err, RefusedError)
    return err.response


def _wrong(request: Request, err: Exception) -> Response:
    return problem(400, str(err))
