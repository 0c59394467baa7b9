"""Asks the MLflow of this same process in the name of the caller: by its public API, with the caller's own headers.

So MLflow alone decides who the caller is and what they may see or change, whatever its authentication is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message

# Beginnings of headers that are not passed on. They describe the body that the caller sent, and what the caller's
# browser can read, but not the caller.
DROPPED = ("accept-encoding", "connection", "expect", "if-", "range", "content-", "transfer-encoding")


def static_prefix() -> str:
    """The path below which all of MLflow lies, as `mlflow server --static-prefix` was given; empty by default."""
    return os.environ.get("_MLFLOW_STATIC_PREFIX", "").rstrip("/")


def checked_run_id(text: str) -> str:
    """Checks that a text has the form of a run id, before it goes into a question to MLflow.

    Raises: HTTPException with 404 if it has not.
    """
    if len(text) != 32 or not all(digit in "0123456789abcdef" for digit in text):
        raise HTTPException(404, "no such search")
    return text


class RefusedError(Exception):
    """MLflow refused. The `response` tells the caller so, in MLflow's words."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response

    @property
    def code(self) -> str:
        """MLflow's error code, such as RESOURCE_ALREADY_EXISTS; empty if the answer is not JSON."""
        try:
            return str(json.loads(bytes(self.response.body)).get("error_code", ""))
        except ValueError:
            return ""


class Loopback:
    """MLflow as the caller of one request sees it."""

    def __init__(self, app: ASGIApp, request: Request) -> None:
        self._app = app
        self._request = request
        self._headers = [
            (key, value) for key, value in request.headers.raw if not key.decode("latin-1").lower().startswith(DROPPED)
        ]

    async def api(self, method: str, endpoint: str, **fields: Any) -> dict[str, Any]:
        """Calls MLflow's REST API once, as in `api("GET", "runs/get", run_id=...)`, and returns its JSON.

        Raises: RefusedError if MLflow refuses.
        """
        path = f"/api/2.0/mlflow/{endpoint}"
        if method == "GET":
            return dict(json.loads(await self.fetch("GET", path, params=fields)))
        return dict(json.loads(await self.fetch(method, path, body=json.dumps(fields).encode())))

    async def artifact(self, run_id: str, path: str) -> bytes:
        """Content of an artifact of a run. Raises: RefusedError if MLflow refuses."""
        return await self.fetch("GET", f"{static_prefix()}/get-artifact", params={"run_uuid": run_id, "path": path})

    async def signed_in(self) -> None:
        """Checks that MLflow knows the caller. Raises: RefusedError with MLflow's own 401 if it does not."""
        await self.fetch("GET", f"{static_prefix()}/version")

    async def fetch(self, method: str, path: str, params: Mapping[str, Any] | None = None, body: bytes = b"") -> bytes:
        """Sends one request to MLflow within this process, and returns the body of the answer.

        Raises: RefusedError if the status is not 200.
        """
        headers = [*self._headers, (b"content-length", str(len(body)).encode())]
        if body:
            headers.append((b"content-type", b"application/json"))
        # To MLflow this looks like the caller's own request: it came from the same address, by the same scheme.
        inherited = {
            key: self._request.scope.get(key) for key in ("asgi", "http_version", "scheme", "client", "server")
        }
        scope = inherited | {
            "type": "http",
            "method": method,
            "path": path,
            "raw_path": quote(path).encode(),
            "query_string": urlencode(params or {}, doseq=True).encode(),
            "root_path": "",
            "headers": headers,
            "state": {},
        }
        answer = _Answer(body)
        await self._app(scope, answer.receive, answer.send)
        if answer.status != 200:
            raise RefusedError(answer.response())
        return b"".join(answer.chunks)


class _Answer:
    """The other end of a request within the process: gives the app the body, and collects what the app sends."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self.status = 500
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []

    async def receive(self) -> Message:
        body, self._body = self._body, b""
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in message["headers"]}
        elif chunk := message.get("body", b""):
            self.chunks.append(chunk)

    def response(self) -> Response:
        # The browser asks for a password only if it sees this header of MLflow's.
        kept = {key: self.headers[key] for key in ("www-authenticate", "content-type") if key in self.headers}
        return Response(b"".join(self.chunks), self.status, headers=kept)
