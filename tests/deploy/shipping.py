"""What an exported model is held against."""

from __future__ import annotations

from pathlib import Path

from raysearch.corpora.corpus import Corpus
from raysearch.deploy.manifest import Manifest
from raysearch.deploy.verify import verify_against


def assert_ships_its_checkpoint(out: Path, corpus: Corpus, task: str, metric: str, compared: str) -> None:
    """`out` holds both; `compared` is the check of the errors, as the verdict names it."""
    manifest = Manifest(
        search="s",
        root=out,
        trial=0,
        task=task,
        metric=metric,
        macs_g=1.0,
        params_m=1.0,
        source={},
        files={"model.onnx": ""},
        versions={},
    )
    verdict = verify_against(out, manifest, out, corpus, seed=0)
    assert verdict.ok, verdict.table()
    named = [check.check for check in verdict.checks]
    assert f"model.onnx: {compared}" in named
    assert "model.onnx: MACs of 10 s" in named
