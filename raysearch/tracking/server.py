"""Starts an MLflow server on this machine, with the page of the searches, for the searches of one folder."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

from raysearch.errors import InputError
from raysearch.files.databases import sqlite_url


def serve(root: Path, host: str, port: int) -> None:
    """Turns this process into the server, and never returns.

    The server's SQLite database and its artifacts are those into which searches write by default.
    Raises: InputError if the address cannot be listened on, as when another server has the port.
    """
    _check_free(host, port)
    root.mkdir(parents=True, exist_ok=True)
    # The page needs none of MLflow's background jobs, which would be two more processes. Deprecation warnings of
    # MLflow's libraries are of no use to whoever starts the server.
    environment = {
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "PYTHONWARNINGS": "ignore",
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(names(host, port)),
    } | os.environ
    # The page shows what lies in the folders of these searches, and in no others.
    environment["RAYSEARCH_STORAGE"] = str(root)
    # `execve` drops what is still in the buffer.
    sys.stdout.flush()
    os.execve(sys.executable, command(root, host, port), environment)


def _check_free(host: str, port: int) -> None:
    # The server that comes in this process's place would only log that it cannot listen, and end as if all were well.
    try:
        socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET).close()
    except OSError as err:
        reason = os.strerror(err.errno or 0)
        raise InputError(f"--port: {port}: {reason} on {host}; expected a port that is free") from err


def names(host: str, port: int) -> list[str]:
    """Names under which a browser may ask for the server: this machine's own, and the address it listens on.

    MLflow would also answer to every name that begins like a private address, such as 10.evil.example, which lets a
    stranger's page read it through the visitor's browser. `MLFLOW_SERVER_ALLOWED_HOSTS` names others.
    """
    own = dict.fromkeys(["localhost", "127.0.0.1", "[::1]", f"[{host}]" if ":" in host else host])
    return [name for one in own for name in (one, f"{one}:{port}")]


def command(root: Path, host: str, port: int) -> list[str]:
    """The command line of the server. It has one worker, since SQLite takes one writer at a time."""
    return [
        sys.executable, "-m", "mlflow", "server", "--app-name", "raysearch",
        "--host", host, "--port", str(port), "--workers", "1",
        "--backend-store-uri", sqlite_url(root / "mlflow.db"),
        "--artifacts-destination", (root / "mlartifacts").as_uri(),
    ]  # fmt: skip
