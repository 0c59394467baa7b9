"""The embedded MLflow server: the app with the page of the searches, over one folder of searches."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def serve(root: Path, host: str, port: int) -> None:
    """Becomes the server; returns never. SQLite and artifacts lie where searches put them by default."""
    root.mkdir(parents=True, exist_ok=True)
    # The page needs none of MLflow's background jobs, which would be two more processes; and what its libraries
    # deprecate is not for whoever starts it.
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "PYTHONWARNINGS": "ignore"} | os.environ
    sys.stdout.flush()
    os.execve(sys.executable, command(root, host, port), environment)


def command(root: Path, host: str, port: int) -> list[str]:
    """One worker: SQLite takes one writer at a time."""
    return [
        sys.executable, "-m", "mlflow", "server", "--app-name", "raysearch",
        "--host", host, "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{root / 'mlflow.db'}", "--artifacts-destination", str(root / "mlartifacts"),
    ]  # fmt: skip
