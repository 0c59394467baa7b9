"""Serves the files of the page, and the scripts of others that it uses. None of them comes from another server.

The scripts of others lie packed in `static/vendor/`, with their licences.
"""

from __future__ import annotations

import gzip
from functools import cache
from importlib.resources import files

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from raysearch.files.digest import content_digest

TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "mjs": "text/javascript; charset=utf-8",
    "wasm": "application/wasm",
}
SCRIPTS = (
    *("alignment", "ask", "capture", "chart", "curves", "decoding", "errors", "live", "look", "page", "parallel"),
    *("recogniser", "register", "settings", "sound", "tables", "talk", "trials", "workflow"),
)
VENDOR = tuple(
    f"vendor/{name}" for name in ("plotly-basic.min.js", "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm")
)
ASSETS = ("page.css", *(f"{name}.js" for name in SCRIPTS), *VENDOR)


def page_text() -> bytes:
    """The page itself, with `{{token}}` where the caller's token belongs."""
    return (files("mlflow_server") / "static" / "index.html").read_bytes()


async def asset(request: Request) -> Response:
    """One file, packed, as every browser can read it."""
    name = request.path_params["name"]
    # Only names of a list are served, not files of a folder: so no path can lead out of it.
    if name not in ASSETS:
        raise HTTPException(404, "no such asset")
    tag = _tag(name)
    # The browser keeps a copy but asks each time whether it still holds: so an upgrade of the server shows at once.
    headers = {"etag": tag, "cache-control": "private, no-cache", "content-encoding": "gzip"}
    if request.headers.get("if-none-match") == tag:
        return Response(status_code=304, headers=headers)
    return Response(_packed(name), media_type=TYPES[name.rpartition(".")[2]], headers=headers)


@cache
def _packed(name: str) -> bytes:
    """The gzipped content of a file."""
    static = files("mlflow_server") / "static"
    if name in VENDOR:
        return (static / f"{name}.gz").read_bytes()
    return gzip.compress((static / name).read_bytes(), compresslevel=6, mtime=0)


@cache
def _tag(name: str) -> str:
    return f'"{content_digest(_packed(name))}"'
