import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from raysearch.deploy.manifest import load_manifest
from raysearch.deploy.runtime.transcribe import sha256
from raysearch.deploy.verify import verify
from raysearch.errors import InputError


@pytest.fixture
def copied(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(exported, tmp_path / "copy"))


def test_every_format_computes_what_its_checkpoint_computes(exported: Path) -> None:
    verdict = verify(exported)
    assert verdict.ok, verdict.table()
    assert {check.check.split(":")[0] for check in verdict.checks} == {
        "checkpoint of trial 0",
        "model.onnx",
        "model.fp16.onnx",
        "model.int8.onnx",
        "model.pt2",
    }


def test_export_for_sherpa_is_run_by_sherpa(search, raysearch, tmp_path: Path) -> None:
    out = tmp_path / "sherpa"
    words = ("--layout", "sherpa", "--precision", "fp32", "--precision", "int8", "--storage", search.root)
    assert raysearch("export", search.name, 1, "-o", out, *words)[0] == 0
    assert {"model.onnx", "model.int8.onnx", "tokens.txt"} <= set(load_manifest(out).files)
    verdict = verify(out, split="test")
    assert verdict.ok, verdict.table()
    assert [check.check for check in verdict.checks] == [
        "checkpoint of trial 1",
        "model.int8.onnx in sherpa-onnx: symbols of 6 test cuts",
        "model.int8.onnx in sherpa-onnx: per of 6 test cuts",
        "model.onnx in sherpa-onnx: symbols of 6 test cuts",
        "model.onnx in sherpa-onnx: per of 6 test cuts",
    ]
    # Other tokens than the model's are what a verdict is for.
    lines = (out / "tokens.txt").read_text().splitlines()
    names, numbers = zip(*(line.split() for line in lines), strict=True)
    (out / "tokens.txt").write_text("".join(f"{a} {b}\n" for a, b in zip(names, (0, *numbers[:0:-1]), strict=True)))
    manifest = json.loads((out / "export.json").read_text())
    manifest["files"]["tokens.txt"] = sha256(out / "tokens.txt")
    (out / "export.json").write_text(json.dumps(manifest))
    failed = [check.check for check in verify(out).checks if not check.ok]
    assert "model.onnx in sherpa-onnx: symbols of 8 dev cuts" in failed


def test_other_weights_in_the_graph_are_found_even_under_a_new_sum(copied: Path) -> None:
    file = copied / "model.onnx"
    model = onnx.load(file)
    bias = next(tensor for tensor in model.graph.initializer if tensor.name == "head.bias_V")
    values = numpy_helper.to_array(bias)
    bias.CopyFrom(numpy_helper.from_array(values + np.float32(0.02) * (values > values.mean()), bias.name))
    onnx.save(model, file)
    manifest = json.loads((copied / "export.json").read_text())
    manifest["files"]["model.onnx"] = sha256(file)
    (copied / "export.json").write_text(json.dumps(manifest))
    verdict = verify(copied)
    assert not verdict.ok
    failed = [check.check for check in verdict.checks if not check.ok]
    assert all(name.startswith("model.onnx: outputs") for name in failed)


@pytest.mark.parametrize("name", ["model.onnx", "model.pt2", "checkpoint/model.safetensors", "checkpoint/head.json"])
def test_changed_file_is_named(copied: Path, name: str) -> None:
    content = bytearray((copied / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied / name).write_bytes(content)
    with pytest.raises(InputError, match=rf"{name}: sha256 .*; expected .*export\.json"):
        load_manifest(copied)


def test_folder_without_manifest_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"export\.json: No such file"):
        verify(tmp_path)


def test_search_that_is_gone_is_refused(exported: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="made-up: no such search"):
        verify(exported, root=tmp_path)
