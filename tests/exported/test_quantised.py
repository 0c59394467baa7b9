"""Files with static scales: which operations have them, and that the calibration decides them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from raysearch.corpora.corpus import Corpus
from raysearch.deploy.runtime.transcribe import OnnxModel
from raysearch.encoder.config import LogMel
from raysearch.exported.onnx_cost import UNCOUNTED, in_module
from raysearch.exported.onnx_file import graph_of, layout, write_onnx
from raysearch.exported.quantised import CALIBRATION_CUTS, calibration_speech
from raysearch.exported.runners import run_checkpoint
from raysearch.exported.speech_model import Recogniser
from tests.deploy.toys import reader, recordings

HEARD = recordings(16_000, 20_000, 9_000)


@pytest.fixture(scope="module")
def model() -> tuple[Recogniser, onnx.ModelProto]:
    torch.set_num_threads(1)
    recogniser = reader(LogMel(channels=[16] * 2), list("abc"))
    return recogniser, graph_of(recogniser)


def inputs(graph: onnx.GraphProto, kind: str) -> list[set[str]]:
    """For each operation of a kind the kinds of those that its inputs come from. Weights come from none."""
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    return [{made_by.get(name, "weight") for name in node.input} for node in graph.node if node.op_type == kind]


@pytest.mark.parametrize("precision", ["int8-static", "int8-static-conv"])
def test_products_have_8_bits_and_the_filterbank_has_not(model, precision, tmp_path: Path) -> None:
    recogniser, graph = model
    file = tmp_path / "model.onnx"
    write_onnx(graph, layout(recogniser), precision, file, lambda: HEARD)
    found = onnx.load(file).graph
    products = [one for one in inputs(found, "MatMul") if "DequantizeLinear" in one]
    # Of one block four linear layers and two products in attention, two layers behind it; the front end's projection.
    assert products == [{"DequantizeLinear"}] * 9
    convolved = [not in_module(node, *UNCOUNTED) for node in graph.graph.node if node.op_type == "Conv"]
    scaled = [bool({"DequantizeLinear"} & one) for one in inputs(found, "Conv")]
    assert sum(convolved) == 3
    assert scaled == (convolved if precision == "int8-static-conv" else [False] * len(convolved))
    # Each column of a weight, or channel of a convolution, has its own scale.
    known = {tensor.name: tensor for tensor in found.initializer}
    weights = [node for node in found.node if node.op_type == "DequantizeLinear" and node.input[0] in known]
    scales = [onnx.numpy_helper.to_array(known[node.input[1]]) for node in weights]
    assert len(scales) == (10 if precision == "int8-static-conv" else 7)
    assert all(scale.size > 1 for scale in scales)
    audio_BS = np.stack([HEARD[0], HEARD[1][:16_000]])
    samples_B = np.array([16_000, 16_000])
    got, exact = (run(audio_BS, samples_B)[0] for run in (OnnxModel(file).run, run_checkpoint(recogniser)))
    assert 1e-4 < np.abs(got - exact).mean() < 0.2, "rounded, and little beside what 3 symbols differ by"


@pytest.mark.parametrize("precision", ["int8", "int8-static", "int8-static-conv"])
def test_two_products_with_weights_of_8_bits_fit_into_16(model, precision, tmp_path: Path) -> None:
    """So that processors that add two up in 16 bits, as AVX2 does without VNNI, do not cut the sum off."""
    recogniser, graph = model
    write_onnx(graph, layout(recogniser), precision, tmp_path / "model.onnx", lambda: HEARD)
    tensors = [onnx.numpy_helper.to_array(one) for one in onnx.load(tmp_path / "model.onnx").graph.initializer]
    weights = [tensor.astype(int) for tensor in tensors if tensor.dtype == np.int8 and tensor.ndim > 1]
    assert len(weights) >= 7
    assert all(2 * 255 * np.abs(weight).max() < 2**15 for weight in weights)


def test_ranges_are_those_of_what_is_heard(model, tmp_path: Path) -> None:
    recogniser, graph = model
    contents = []
    for level in (1.0, 1.0, 0.01):
        write_onnx(graph, layout(recogniser), "int8-static", tmp_path / "one.onnx", lambda: [level * HEARD[0]])  # noqa: B023
        contents.append((tmp_path / "one.onnx").read_bytes())
    assert contents[0] == contents[1] != contents[2]


def test_calibration_hears_the_same_training_cuts_each_time_and_none_too_short(model, tones: Corpus) -> None:
    meaning = layout(model[0])
    heard, again = calibration_speech(tones, meaning), calibration_speech(tones, meaning)
    assert len(heard) == min(CALIBRATION_CUTS, len(tones.splits["train"]))
    assert all(np.array_equal(one_S, other_S) for one_S, other_S in zip(heard, again, strict=True))
    assert {len(audio_S) for audio_S in heard} == {cut.num_samples for cut in tones.splits["train"]}
