"""Asks the MLflow that runs in this process, as the caller: with the caller's headers, through MLflow's front door.

So MLflow alone decides who the caller is and what they may see or change, whatever its authentication is.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message

# They describe the caller's own body and what the caller's client can read, not the caller.
DROPPED = ("accept-encoding", "connection", "expect", "if-", "range", "content-", "transfer-encoding")


def static_prefix() -> str:
    """What `mlflow server --static-prefix` was given."""
    return os.environ.get("_MLFLOW_STATIC_PREFIX", "").rstrip("/")


class RefusedError(Exception):
    """MLflow's answer was no; `response` says so to the caller in MLflow's words."""

    def __init__(self, response: Response) -> None:
        super().__init__(response.status_code)
        self.response = response

    @property
    def code(self) -> str:
        """MLflow's error code, such as RESOURCE_ALREADY_EXISTS; empty where the answer is no JSON."""
        try:
            return str(json.loads(bytes(self.response.body)).get("error_code", ""))
        except ValueError:
            return ""


class Loopback:
    """MLflow as one caller sees it."""

    def __init__(self, app: ASGIApp, request: Request) -> None:
        self._app = app
        self._request = request
        self._headers = [
            (key, value) for key, value in request.headers.raw if not key.decode("latin-1").lower().startswith(DROPPED)
        ]

    async def api(self, method: str, endpoint: str, **fields: Any) -> dict[str, Any]:
        """One call of MLflow's REST API, such as `api("GET", "runs/get", run_id=...)`. Raises: RefusedError."""
        path = f"/api/2.0/mlflow/{endpoint}"
        if method == "GET":
            return dict(json.loads(await self.fetch("GET", path, params=fields)))
        return dict(json.loads(await self.fetch(method, path, body=json.dumps(fields).encode())))

    async def artifact(self, run_id: str, path: str) -> bytes:
        """Raises: RefusedError."""
        return await self.fetch("GET", f"{static_prefix()}/get-artifact", params={"run_uuid": run_id, "path": path})

    async def signed_in(self) -> None:
        """Raises: RefusedError with MLflow's own 401 if MLflow does not know the caller."""
        await self.fetch("GET", f"{static_prefix()}/version")

    async def fetch(self, method: str, path: str, params: Mapping[str, Any] | None = None, body: bytes = b"") -> bytes:
        """The body of MLflow's answer. Raises: RefusedError if its status is not 200."""
        headers = [*self._headers, (b"content-length", str(len(body)).encode())]
        if body:
            headers.append((b"content-type", b"application/json"))
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
    """Collects what an app sends."""

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
        kept = {key: self.headers[key] for key in ("www-authenticate", "content-type") if key in self.headers}
        return Response(b"".join(self.chunks), self.status, headers=kept)
