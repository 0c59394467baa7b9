"""Wrong input that only a worker can find, through the command line: its line comes last, alone, with exit code 2.

Where Ray brings the line is tested with -m slow; how a worker's error crosses Ray, in tests/lanes/test_lane.py.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.search.fake_search import ROOT, _manifests, _teacher
from tests.search.lanes_here import leave_ray_out

pytestmark = pytest.mark.timeout(300)
DOCUMENT: dict[str, Any] = {
    "name": "wrong",
    "task": {"kind": "phonemes"},
    "method": "dicehubert",
    "student": {"heads": 2, "depth": 1, "width": 32},
    "space": {"training.lr": {"choice": [0.001, 0.002]}},
    "search": {"trials": 2, "updates": 10, "sampler": "random"},
    "workers": {"lanes": 1},
}
TINY = {
    "model_type": "hubert", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2,
    "intermediate_size": 64, "conv_dim": [16] * 7, "conv_kernel": [10, 3, 3, 3, 3, 2, 2],
    "conv_stride": [5, 2, 2, 2, 2, 2, 2],
    "num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "feat_extract_norm": "group",
}  # fmt: skip
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:ab\nsize 9\n"


def document(folder: Path, **changes: Any) -> str:
    """The path of a search's document."""
    corpus = {"kind": "manifest", "splits": _manifests(folder / "speech")}
    (folder / "wrong.yaml").write_text(yaml.safe_dump({**DOCUMENT, "corpus": corpus, **changes}))
    return str(folder / "wrong.yaml")


def search(folder: Path, **changes: Any) -> list[str]:
    """The lines on stderr of a search that is refused."""
    environment = {key: value for key, value in os.environ.items() if key not in ("RAY_ADDRESS", "RAYSEARCH_STORAGE")}
    found = subprocess.run(
        [sys.executable, "-m", "raysearch.cli", "search", document(folder, **changes)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**environment, "PYTHONPATH": os.pathsep.join([str(ROOT), environment.get("PYTHONPATH", "")])},
    )
    return refused(found.returncode, found.stdout, found.stderr)


def refused(code: int, out: str, err: str) -> list[str]:
    assert (code, out) == (2, ""), err
    assert "Traceback" not in err
    assert "InputError" not in err
    return err.splitlines()


@pytest.mark.slow
def test_weights_of_a_teacher_that_are_none(tmp_path: Path) -> None:
    """Its shape is known before Ray starts, its weights are read where the teacher is made."""
    hubert = tmp_path / "hubert"
    hubert.mkdir()
    (hubert / "config.json").write_text(json.dumps(TINY))
    (hubert / "model.safetensors").write_text(POINTER)
    lines = search(tmp_path, teacher={"source": f"hf:{hubert}"})
    assert lines[-2].startswith("teacher: preparing")
    weights = hubert / "model.safetensors"
    assert lines[-1] == f"teacher.source: {weights}: a git-lfs pointer; expected the file itself: git lfs pull"


@pytest.fixture
def refusing(tmp_path: Path) -> dict[str, Any]:
    """What makes of the document one whose method refuses its settings in every trial."""
    _teacher(tmp_path / "teacher")
    return {
        "teacher": {"source": str(tmp_path / "teacher"), "judged": False},
        "method": "tests.search.fake_method:Refusing",
    }


REFUSED = "wrong: 2 of 2 trials failed, the first, trial 0: training.lr: too late; expected an earlier one"


@pytest.mark.slow
def test_settings_that_a_method_refuses_in_every_trial(refusing: dict[str, Any], tmp_path: Path) -> None:
    assert search(tmp_path, **refusing)[-1] == REFUSED


def test_settings_that_a_method_refuses_in_every_trial_without_ray(
    refusing: dict[str, Any],
    raysearch: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    leave_ray_out(monkeypatch)
    ended = raysearch("search", document(tmp_path, **refusing), "--storage", tmp_path / "searches")
    assert refused(*ended)[-1] == REFUSED
