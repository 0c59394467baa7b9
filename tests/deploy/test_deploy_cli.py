"""Each verb through the command line, as users meet it: exit code, one document or one line, no traceback."""

import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

from raysearch.search.reading import read_document


def test_export_writes_safetensors_without_tracing(raysearch, search, tmp_path: Path) -> None:
    words = ("export", search.name, 1, "-o", tmp_path / "out", "--format", "safetensors", "--storage", search.root)
    code, out, _ = raysearch(*words, "--json")
    assert code == 0
    assert set(json.loads(out)["files"]) == {
        f"checkpoint/{name}" for name in ("config.json", "model.safetensors", "head.json", "head.safetensors")
    }
    code, _, err = raysearch(*words)
    assert (code, len(err.splitlines())) == (2, 1)
    assert "is not empty; expected a new folder" in err


def test_readme_has_the_header_that_the_hub_reads(search, exported: Path) -> None:
    _, header, text = (exported / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    document = yaml.safe_load(header)
    (result,) = document["model-index"][0]["results"]
    assert document["library_name"] == "onnxruntime"
    assert {"raysearch", "phonemes", "dicehubert"} <= set(document["tags"])
    assert "base_model" not in document, "its teacher is nowhere to be had"
    recorded = read_document(search).trials[0].metrics
    expected = [round(recorded[name], 2) for name in ("eval/per", "test/per")]
    assert [metric["value"] for metric in result["metrics"]] == expected
    assert f"| test | {expected[1]:.2f} | {recorded['test/per_low']:.2f} - {recorded['test/per_high']:.2f} |" in text


def test_verify_prints_one_document(raysearch, search, exported: Path) -> None:
    code, out, _ = raysearch("verify", exported, "--storage", search.root, "--json")
    assert code == 0
    assert json.loads(out)["ok"]


def test_transcribe_prints_text_alone(raysearch, exported: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", 0.1 * np.random.default_rng(0).standard_normal(16_000), 16_000)
    code, out, err = raysearch("transcribe", exported / "model.onnx", tmp_path / "a.wav")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1


@pytest.mark.parametrize(
    ("words", "fault"),
    [
        (("export", "made-up", 99, "-o", "x"), "made-up: trial 99: no such trial; expected one of: 0 to 1"),
        (("export", "made-up", 0, "-o", "x", "--format", "tflite"), "--format: tflite; expected one of onnx"),
        (("export", "made-up", 0, "-o", "x", "--layout", "nemo"), "--layout: nemo; expected one of raysearch, sherpa"),
        (
            ("export", "made-up", 0, "-o", "x", "--layout", "sherpa", "--format", "pt2"),
            "--format: pt2; expected onnx",
        ),
        (("verify", "x", "--split", "train"), "--split: train; expected one of dev, test"),
        (("export", "made-up", 0, "-o", "x", "--task", "asr"), "--task: asr; expected one of phonemes"),
        (("pick", "made-up", "--max-macs", 0.001), "--max-macs: 0.001; expected at least"),
        (("pick", "made-up", "--max", "per"), "--max: per; expected METRIC=PERCENT"),
        (("reproduce", "nothing", 0), "nothing: no such search"),
    ],
)
def test_wrong_input_is_one_line(raysearch, search, words, fault: str) -> None:
    code, out, err = raysearch(*words, "--storage", search.root)
    assert (code, out, len(err.splitlines())) == (2, "", 1), err
    assert fault in err
