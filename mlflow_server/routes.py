"""The page and its API, below `/raysearch/`. All addresses in it are relative, so that it works below any prefix."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from anyio.to_thread import run_sync
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from mlflow_server.guard import TOKEN_COOKIE, Guard, problem, token
from mlflow_server.loopback import Loopback, RefusedError
from mlflow_server.register import Candidate, register, registrations
from mlflow_server.searches import Documents, list_searches, page_document, plain_json, published_beside
from raysearch.errors import InputError
from raysearch.files.digest import content_digest
from raysearch.front.compare import compare_searches, compare_table

TYPES = {"html": "text/html; charset=utf-8", "css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8"}
ASSETS = ("page.css", "page.js", "chart.js", "tables.js", "register.js", "workflow.js", "plotly.min.js")
MOST_COMPARED = 8
"""The most searches that can be compared at once: the chart has eight symbols and no more."""


def create_page(mlflow_app: ASGIApp) -> Starlette:
    """Makes the routes of the page, behind the guard. `mlflow_app` is the app around it, which holds all its data."""
    documents = Documents()

    async def searches(request: Request) -> Response:
        return JSONResponse({"searches": await list_searches(Loopback(mlflow_app, request))})

    async def search(request: Request) -> Response:
        run_id = request.path_params["run_id"]
        mlflow = Loopback(mlflow_app, request)
        document = await documents.get(mlflow, _run_id(run_id))
        published = await published_beside(mlflow, run_id, document)
        return Response(await run_sync(page_document, run_id, document, published), media_type="application/json")

    async def compared(request: Request) -> Response:
        run_ids = [_run_id(run_id) for run_id in request.query_params.getlist("search")]
        if not 2 <= len(run_ids) <= MOST_COMPARED:
            raise InputError(f"compare: search: {len(run_ids)} searches; expected 2 to {MOST_COMPARED}")
        mlflow = Loopback(mlflow_app, request)
        found = [await documents.get(mlflow, run_id) for run_id in run_ids]
        rows = [row.model_dump(mode="json") for row in compare_searches(found)]
        return Response(plain_json({"rows": rows, "table": compare_table(found)}), media_type="application/json")

    async def registered(request: Request) -> Response:
        run_id = _run_id(request.path_params["run_id"])
        wanted = Candidate.checked_json(await request.body())
        mlflow = Loopback(mlflow_app, request)
        job = await register(mlflow, request, run_id, await documents.get(mlflow, run_id), wanted)
        return JSONResponse(job.model_dump(), 202)

    async def jobs(request: Request) -> Response:
        run_id = _run_id(request.path_params["run_id"])
        return JSONResponse(await registrations(Loopback(mlflow_app, request), run_id))

    return Starlette(
        routes=[
            Route("/", _page),
            Route("/assets/{name}", _asset),
            Route("/api/searches", searches),
            Route("/api/searches/{run_id}", search),
            Route("/api/searches/{run_id}/register", registered, methods=["POST"]),
            Route("/api/searches/{run_id}/registrations", jobs),
            Route("/api/compare", compared),
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
    html = _read("index.html").replace(b"{{token}}", own.encode())
    # No cache may store the page, since it holds the token.
    response = Response(html, media_type=TYPES["html"], headers={"cache-control": "no-store"})
    response.set_cookie(
        TOKEN_COOKIE, own, path=request.url.path, httponly=True, samesite="strict", secure=request.url.scheme == "https"
    )
    return response


async def _asset(request: Request) -> Response:
    name = request.path_params["name"]
    # Only names of a list are served, not files of a folder: so no path can lead out of it.
    if name not in ASSETS:
        raise HTTPException(404, "no such asset")
    content, tag = _read(name), _tag(name)
    # The browser keeps a copy but asks each time whether it still holds: so an upgrade of the server shows at once.
    headers = {"etag": tag, "cache-control": "private, no-cache"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(content, media_type=TYPES[name.rpartition(".")[2]], headers=headers)


@cache
def _read(name: str) -> bytes:
    """Content of a file of the page, or of plotly's script, which comes from the installed plotly."""
    folder = files("plotly") / "package_data" if name == "plotly.min.js" else files("mlflow_server") / "static"
    return (folder / name).read_bytes()


@cache
def _tag(name: str) -> str:
    return f'"{content_digest(_read(name))}"'


def _run_id(text: str) -> str:
    """Checks that a text has the form of a run id, before it goes into a question to MLflow."""
    if len(text) != 32 or not all(digit in "0123456789abcdef" for digit in text):
        raise HTTPException(404, "no such search")
    return text


def _refused(request: Request, err: Exception) -> Response:
    assert isinstance(err, RefusedError)
    return err.response


def _wrong(request: Request, err: Exception) -> Response:
    return problem(400, str(err))
