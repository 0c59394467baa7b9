"""Real MLflow servers for tests: a process of their own, started as users start one."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests

ROOT = Path(__file__).parents[2]


@dataclass
class Server:
    """A server on a folder; it can be killed and started again on the same port."""

    folder: Path
    env: dict[str, str] = field(default_factory=dict)
    backend: str = ""
    port: int = 0
    workers: int = 1
    process: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def page(self) -> str:
        return f"{self.url}/raysearch/"

    def start(self) -> Server:
        self.port = self.port or free_port()
        command = [sys.executable, "-m", "mlflow", "server", "--app-name", "raysearch"]
        command += ["--workers", str(self.workers), "--port", str(self.port)]
        command += ["--artifacts-destination", str(self.folder / "artifacts")]
        command += ["--backend-store-uri", self.backend or f"sqlite:///{self.folder / 'mlflow.db'}"]
        env = os.environ | {"PYTHONPATH": str(ROOT), "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"} | self.env
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=env, stdout=log, stderr=log, start_new_session=True
            )
        for _ in range(1200):
            if self.process.poll() is not None:
                break
            try:
                if requests.get(f"{self.url}/health", timeout=5).ok:
                    return self
            except (requests.ConnectionError, requests.Timeout):
                time.sleep(0.2)
        self.kill()
        raise RuntimeError((self.folder / "server.log").read_text()[-3000:])

    def kill(self) -> None:
        """All its processes at once, without a word."""
        if self.process is not None and self.process.poll() is None:
            os.killpg(self.process.pid, 9)
            self.process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Visitor(requests.Session):
    """A browser without a screen: it has loaded the page, so it has its token."""

    def __init__(self, server: Server, auth: tuple[str, str] | None = None) -> None:
        super().__init__()
        self.page, self.auth = server.page, auth
        self.headers["sec-fetch-site"] = "same-origin"
        self.home = self.get(server.page, timeout=240)
        self.headers["x-raysearch-token"] = self.cookies.get("raysearch-token", "")

    def api(self, path: str) -> Any:
        answer = self.get(f"{self.page}api/{path}", timeout=240)
        answer.raise_for_status()
        return answer.json()

    def search(self, name: str) -> dict[str, Any]:
        """The search as it is listed."""
        return next(search for search in self.api("searches")["searches"] if search["name"] == name)

    def register(self, search_id: str, **body: Any) -> requests.Response:
        path = f"{self.page}api/searches/{search_id}/register"
        return self.post(path, data=json.dumps(body), headers={"content-type": "application/json"}, timeout=240)
