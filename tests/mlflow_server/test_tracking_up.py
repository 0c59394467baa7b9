"""One command starts the embedded server, on localhost, over a folder of searches."""

import os
import subprocess
import sys
import time

import pytest
import requests

from tests.mlflow_server.servers import ROOT, free_port

pytestmark = pytest.mark.mlflow


def test_tracking_up_serves_the_page_and_keeps_its_files_in_the_folder(tmp_path):
    port = free_port()
    command = [
        sys.executable,
        "-m",
        "raysearch.cli",
        "tracking",
        "up",
        "--storage",
        str(tmp_path / "s"),
        "--port",
        str(port),
    ]
    with open(tmp_path / "log", "wb") as log:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        for _ in range(600):
            assert process.poll() is None, (tmp_path / "log").read_text()
            try:
                answer = requests.get(f"http://127.0.0.1:{port}/raysearch/api/searches", timeout=60)
                break
            except requests.ConnectionError:
                time.sleep(0.2)
        assert answer.json()["searches"] == []
        assert (tmp_path / "s" / "mlflow.db").exists()
        assert f"127.0.0.1:{port}" in (tmp_path / "log").read_text()
    finally:
        os.killpg(process.pid, 9)
        process.wait()
