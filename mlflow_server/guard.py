"""Decides who and what may reach the page. Every request below its path passes here first, known or not."""

from __future__ import annotations

import hmac
import re
import secrets
from urllib.parse import urlsplit

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mlflow_server.loopback import Loopback, RefusedError

MOST_BYTES = 4096
"""The most bytes of a request's body, and of its query: far above what the page itself sends."""
TOKEN_COOKIE, TOKEN_HEADER = "raysearch-token", "x-raysearch-token"
"""A request that changes something must bring the same token in both, which only our own page can do."""
HEADERS = {
    # Plotly sets styles on the elements that it draws, so inline styles are allowed, and WebAssembly runs students. No
    # text may be run as a script. Nothing may be loaded from any other server, or sent to one.
    "content-security-policy": (
        "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; connect-src 'self'; media-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


def token(request: Request) -> str:
    """The token of the caller. A caller who has one keeps it, since other tabs of the same browser use it too."""
    had = request.cookies.get(TOKEN_COOKIE, "")
    return had if re.fullmatch(r"[\w-]{32}", had, re.ASCII) else secrets.token_urlsafe(24)


class Guard:
    """Wraps the routes of the page. `mlflow` is the whole MLflow app, which is asked who the caller is."""

    def __init__(self, app: ASGIApp, mlflow: ASGIApp) -> None:
        self.app = app
        self.mlflow = mlflow

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = Request(scope, receive)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                added = [(key.encode(), value.encode()) for key, value in HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *added]}
            await send(message)

        refusal = await self._refusal(request)
        await (refusal or self.app)(scope, receive, send_with_headers)

    async def _refusal(self, request: Request) -> Response | None:
        """The answer to a request that may not pass; None if it may."""
        if len(request.scope["query_string"]) > MOST_BYTES:
            return problem(414, f"query too long: more than {MOST_BYTES} bytes")
        try:
            await Loopback(self.mlflow, request).signed_in()
        except RefusedError as err:
            return err.response
        if request.method in ("GET", "HEAD"):
            return None
        # The header must state the length, so that a body which is too long need not be read.
        length = request.headers.get("content-length", "")
        if not length.isdecimal():
            return problem(411, "content-length: missing; expected the body's length")
        if int(length) > MOST_BYTES:
            return problem(413, f"body too long: {length} bytes; expected at most {MOST_BYTES}")
        return _forgery(request)


def _forgery(request: Request) -> Response | None:
    """Refuses a request that a page of another site made its visitor's browser send.

    Such a page can neither read the cookie nor set the header, so the two cannot be equal. A browser also says where a
    request comes from, in one header or the other, so that a request which says nothing is not one of our page's.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is None and origin is None:
        return problem(403, "origin: missing; expected the header of a browser that shows the page")
    if site not in (None, "same-origin") or (site is None and urlsplit(origin or "").netloc != request.url.netloc):
        return problem(403, "cross-site request")
    cookie, header = request.cookies.get(TOKEN_COOKIE, ""), request.headers.get(TOKEN_HEADER, "")
    # An ordinary comparison takes longer the more characters are right, which would help to guess the token.
    if not cookie or not hmac.compare_digest(cookie.encode(), header.encode()):
        return problem(403, f"{TOKEN_HEADER}: missing or stale; reload the page")
    return None


def problem(status: int, reason: str) -> JSONResponse:
    """An answer that says what is wrong, in the form that the page shows."""
    return JSONResponse({"reason": reason}, status)
