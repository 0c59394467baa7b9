"""Students as files for the browser: which one is handed out, and what is said where there is none."""

import json
import os
from pathlib import Path

import onnx
import pytest
from anyio import run as run_async

from mlflow_server.models import described, find_model, made_model
from raysearch.errors import InputError

LAYOUT = {"unit": "phones", "symbols": ["AA"], "min_samples": 400}


def exported(search: Path, name: str, trial: int, *files: str, age_s: int = 0) -> Path:
    """An export whose ONNX files hold nothing but their layout."""
    folder = search / "exports" / name
    folder.mkdir(parents=True)
    (folder / "export.json").write_text(json.dumps({"trial": trial}))
    os.utime(folder / "export.json", (1e9 - age_s, 1e9 - age_s))
    for file in files:
        model = onnx.helper.make_model(onnx.helper.make_graph([], "empty", [], []))
        onnx.helper.set_model_props(model, {"raysearch": json.dumps(LAYOUT)})
        onnx.save(model, folder / file)
    return folder


def test_newest_export_of_the_trial_is_handed_out_exact_weights_first(tmp_path):
    assert find_model(tmp_path, 3) is None
    exported(tmp_path, "0003-old", 3, "model.onnx", age_s=60)
    new = exported(tmp_path, "0003-new", 3, "model.int8.onnx", "model.onnx")
    exported(tmp_path, "0004", 4, "model.onnx")
    exported(tmp_path, "0005", 5, "model.pt2")
    (exported(tmp_path, "torn", 3) / "export.json").write_text("{")
    assert find_model(tmp_path, 3) == new / "model.onnx"
    assert find_model(tmp_path, 5) is None


def test_page_is_told_size_and_layout(tmp_path):
    file = exported(tmp_path, "a", 0, "model.onnx") / "model.onnx"
    found = run_async(described, file)
    assert (found["ready"], found["layout"]) == (True, LAYOUT)
    assert found["megabytes"] == file.stat().st_size / 1e6
    assert run_async(described, None) == {"ready": False}


def test_file_that_is_no_export_is_refused_in_one_line(tmp_path):
    file = exported(tmp_path, "a", 0) / "model.onnx"
    file.write_bytes(b"torn")
    with pytest.raises(InputError, match=r"model.onnx: metadata raysearch: missing; expected a model"):
        run_async(described, file)


def test_trial_that_cannot_be_exported_is_said_in_the_words_of_the_command_line(tmp_path):
    (tmp_path / "an4" / "exports").mkdir(parents=True)
    with pytest.raises(InputError, match=r"trial 7: not exported: .*an4: no such search") as caught:
        run_async(made_model, tmp_path / "an4", 7)
    assert "\n" not in str(caught.value)
