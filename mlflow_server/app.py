"""Makes the server: MLflow's own app, with the page of the searches added to it.

Authentication is MLflow's own (basic-auth). It is on as soon as one of MLflow's `MLFLOW_AUTH_*` variables is set.
"""

from __future__ import annotations

import logging
import os

from fastapi import FastAPI
from mlflow.exceptions import MlflowException
from starlette.responses import RedirectResponse
from starlette.routing import Mount, Route

from mlflow_server.loopback import static_prefix
from mlflow_server.routes import create_page

log = logging.getLogger("mlflow.server")


def authentication_wanted() -> bool:
    """Whether any of MLflow's `MLFLOW_AUTH_*` variables is set."""
    return any(name.startswith("MLFLOW_AUTH_") and value for name, value in os.environ.items())


def create_app() -> FastAPI:
    """Makes the whole server; `mlflow server` calls this in each of its workers.

    Raises: MlflowException if MLflow runs under another web server than uvicorn, its default.
    """
    app = _mlflow_app()
    if not isinstance(app, FastAPI):
        raise MlflowException("the raysearch app needs uvicorn: start the server without --gunicorn-opts")
    add_page(app)
    return app


def add_page(app: FastAPI) -> None:
    """Puts the page into an MLflow app, so that MLflow's checks of hosts and its headers hold for the page too."""
    at = f"{static_prefix()}/raysearch"
    # The routes go first: MLflow's last one catches every path.
    app.router.routes[:0] = [
        Route(at, lambda request: RedirectResponse(f"{at}/"), methods=["GET"]),
        Mount(at, create_page(app)),
    ]


def _mlflow_app() -> object:
    """MLflow's own app, with or without authentication."""
    if authentication_wanted():
        from mlflow.server import auth

        log.info("raysearch: authentication is on (basic-auth)")
        return auth.create_app()
    from mlflow.server.fastapi_app import app

    log.info("raysearch: authentication is off: no MLFLOW_AUTH_* variable is set")
    return app
