"""A whole search at an S3 URI, on a local stand-in; then read, resumed and exported from a node that has no copy."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from raysearch.files.remote import Remote
from tests.s3 import s3_bucket

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]

TINY = [
    "corpus={kind: synthetic, speakers: {train: 4, dev: 2, test: 2}, utterances: {train: 60, dev: 8, test: 8}}",
    *("teacher.updates=20", "teacher.depth=1", "teacher.width=64", "task.updates=10", "search.updates=20"),
    *("search.rungs=[0.5, 1.0]", "workers.lanes=1", "space.targets.clusters={choice: [50]}"),
]


def raysearch(*words: object, cache: Path) -> dict[str, object]:
    command = [sys.executable, "-m", "raysearch.cli", *map(str, words), "--json"]
    environment = {**os.environ, "RAYSEARCH_CACHE": str(cache)}
    found = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=600)
    assert found.returncode == 0, found.stderr
    document: dict[str, object] = json.loads(found.stdout)
    return document


def test_search_at_s3_from_start_to_export(tmp_path: Path) -> None:
    settings = [word for change in TINY for word in ("--set", change)]
    with s3_bucket() as bucket:
        uri = f"{bucket}/team"
        spec = Path(__file__).parents[2] / "search_spaces/quickstart.yaml"
        words = ("search", spec, "--name", "far", "--trials", 2, *settings, "--storage", uri)
        document = raysearch(*words, "--tracking", f"sqlite:///{tmp_path / 'mlflow.db'}", cache=tmp_path / "one")
        files = Remote(uri).files("")
        front = raysearch("front", "far", "--storage", uri, cache=tmp_path / "two")
        longer = raysearch("resume", "far", "--trials", 3, "--storage", uri, cache=tmp_path / "two")
        out = tmp_path / "out"
        words = ("export", "far", 0, "-o", out, "--format", "safetensors", "--storage", uri)
        manifest = raysearch(*words, cache=tmp_path / "three")
        (labels,) = raysearch("targets", "ls", "--storage", uri, cache=tmp_path / "three")
    print(f"{len(files)} objects, {sum(files.values()) / 1e6:.1f} MB")
    assert [trial["state"] for trial in document["trials"]] == ["complete"] * 2
    assert front == document
    assert [trial["state"] for trial in longer["trials"]] == ["complete"] * 3
    assert longer["trials"][:2] == document["trials"]
    assert {name.split("/")[1] for name in files if name.startswith("_store/")} == {"teachers", "label_sets"}
    assert "far/trials/0001/student/model.safetensors" in files
    assert "checkpoint/model.safetensors" in manifest["files"]
    assert labels["clusters"] == 50
