"""A new MLflow database that several searches fill at once."""

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

pytestmark = pytest.mark.mlflow

# Waits for its input to be closed, which happens to all of them at the same moment.
FIRST = """
import sys
from raysearch.tracking.database import open_client
print("ready", flush=True)
sys.stdin.read()
open_client(sys.argv[1]).create_experiment(sys.argv[2])
"""


def test_first_searches_at_once_over_a_new_file_all_get_in(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new' / 'mlflow.db'}"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    started = [subprocess.Popen([sys.executable, "-c", FIRST, uri, name], **pipes) for name in "abc"]
    for process in started:
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.stdin.close()
    errors = [process.stderr.read() for process in started]
    assert [process.wait() for process in started] == [0, 0, 0], errors
    assert {found.name for found in MlflowClient(uri).search_experiments()} >= {"a", "b", "c"}
