"""Writes a recogniser as an ONNX file, in one of several precisions, or as a `torch.export` program.

Both take any number of recordings of any length.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import onnx
import torch
from onnx import TensorProto
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram

from raysearch.deploy.runtime.transcribe import METADATA_KEY, Layout
from raysearch.exported.both_ways import TRANSLATIONS
from raysearch.exported.onnx_cost import PLACES, UNCOUNTED, in_module
from raysearch.exported.quantised import Calibration, dynamic, quiet, static
from raysearch.exported.settings import Precision
from raysearch.exported.speech_model import Recogniser
from raysearch.tasks.head import CtcHeadConfig, FieldHeadConfig, SpeakerHeadConfig

OPSET = 20
"""Version of ONNX's operators. It is the first whose DFT takes its axis as an input, and which has a Gelu."""
_EXAMPLE_SAMPLES = (16_000, 12_345)


def onnx_name(precision: Precision) -> str:
    """The name of the ONNX file of this precision in an export."""
    return "model.onnx" if precision == "fp32" else f"model.{precision}.onnx"


def layout(recogniser: Recogniser) -> Layout:
    """What a reader of the model's outputs must know, which is kept in the ONNX file."""
    head = recogniser.head.config
    return Layout(
        unit=head.unit if isinstance(head, CtcHeadConfig) else head.kind,
        symbols=tuple(head.symbols) if isinstance(head, CtcHeadConfig) else (),
        hop_samples=recogniser.encoder.config.hop_samples,
        min_samples=recogniser.min_samples,
        equal_lengths=recogniser.equal_lengths,
        threshold=head.threshold if isinstance(head, SpeakerHeadConfig) else None,
        fields=head.fields if isinstance(head, FieldHeadConfig) else {},
    )


def trace(recogniser: Recogniser) -> ExportedProgram:
    """The program from waveform to log-probabilities or embeddings, for any batch and length."""
    samples_B = torch.tensor(_EXAMPLE_SAMPLES)
    return trace_module(recogniser.model(), (torch.zeros(len(samples_B), int(samples_B.max())), samples_B))


def trace_module(module: nn.Module, inputs: tuple[Tensor, ...]) -> ExportedProgram:
    """The program of a module for any batch and length. The first input is as long as its second axis, the rest (B)."""
    batch = Dim("batch", min=1)
    free: list[dict[int, Any]] = [{0: batch, 1: Dim.DYNAMIC}, *({0: batch} for _ in inputs[1:])]
    with quiet():
        return torch.export.export(module, inputs, dynamic_shapes=tuple(free))


def write_pt2(program: ExportedProgram, file: Path) -> None:
    """Writes the traced program as PyTorch itself can load it."""
    with quiet():
        torch.export.save(program, file)


def to_onnx(
    program: ExportedProgram,
    outputs: Sequence[str] = ("log_probs", "frames"),
    inputs: Sequence[str] = ("audio", "samples"),
) -> onnx.ModelProto:
    """The traced program as an ONNX model in fp32, whose inputs and outputs have these names."""
    with quiet():
        exported = torch.onnx.export(
            program,
            input_names=list(inputs),
            output_names=list(outputs),
            dynamo=True,
            custom_translation_table=TRANSLATIONS,
            opset_version=OPSET,
            verbose=False,
        )
    assert exported is not None
    model: onnx.ModelProto = exported.model_proto
    for node in model.graph.node:
        kept = [entry for entry in node.metadata_props if entry.key in PLACES]
        del node.metadata_props[:]
        node.metadata_props.extend(kept)
    return model


def graph_of(recogniser: Recogniser, program: ExportedProgram | None = None) -> onnx.ModelProto:
    """The recogniser as an ONNX model in fp32. `program` is its trace, if it was traced already."""
    output = "embedding" if layout(recogniser).unit == "speaker" else "log_probs"
    return to_onnx(program or trace(recogniser), (output, "frames"))


def write_onnx(
    model: onnx.ModelProto, meaning: Layout, precision: Precision, file: Path, calibration: Calibration | None = None
) -> None:
    """Writes the model in a precision, with its layout as metadata, so that it is read without anything beside it."""
    write_graph(model, {METADATA_KEY: json.dumps(asdict(meaning))}, precision, file, calibration)


def write_graph(
    model: onnx.ModelProto,
    metadata: Mapping[str, str],
    precision: Precision,
    file: Path,
    calibration: Calibration | None = None,
) -> None:
    """Writes the model in a precision, with this metadata. Input and output stay float32.

    `fp16` halves weights and most arithmetic, but not the mel filterbank's. `int8` quantises the weights of the linear
    layers and, at run time, what enters them; `int8-static` does so by ranges that it finds with `calibration`, and
    `int8-static-conv` those of convolutions too. Recurrent layers stay in fp32.
    """
    # A copy, since one traced model is written in several precisions.
    converted = onnx.ModelProto()
    converted.CopyFrom(_converted(model, precision, calibration))
    onnx.helper.set_model_props(converted, dict(metadata))
    onnx.save(converted, file)


def _converted(model: onnx.ModelProto, precision: Precision, calibration: Calibration | None) -> onnx.ModelProto:
    match precision:
        case "fp32":
            return model
        case "fp16":
            return _half(model)
        case "int8":
            return dynamic(model)
        case "int8-static" | "int8-static-conv":
            assert calibration is not None
            return static(model, calibration, ["MatMul", "Conv"] if precision == "int8-static-conv" else ["MatMul"])


def _half(model: onnx.ModelProto) -> onnx.ModelProto:
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    # Power spectra of 16-bit samples overflow half precision, and variances of quiet audio vanish in it. So all up to
    # the mel filterbank, or to the GroupNorm over frames, stays in fp32. Nodes are in order of execution.
    nodes = list(copy.graph.node)
    last = max((i for i, node in enumerate(nodes) if in_module(node, *UNCOUNTED)), default=-1)
    # onnxruntime has no LSTM in half precision on a CPU.
    kept = [node.name for i, node in enumerate(nodes) if i <= last or node.op_type == "LSTM"]
    half: onnx.ModelProto = convert_float_to_float16(copy, keep_io_types=True, node_block_list=kept)
    # The converter adds the same cast once for each kept node that reads an input, which onnxruntime refuses.
    seen: set[str] = set()
    for node in list(half.graph.node):
        if node.output[0] in seen:
            half.graph.node.remove(node)
        seen.add(node.output[0])
    _skip_half_between_kept(half.graph)
    return half


def _skip_half_between_kept(graph: onnx.GraphProto) -> None:
    """Removes the detour by half precision between two kept nodes, where the converter adds it and spectra overflow."""
    made_by = {node.output[0]: node for node in graph.node}
    for node in graph.node:
        before = made_by.get(node.input[0]) if node.input else None
        if before is not None and _casts_to(node, TensorProto.FLOAT) and _casts_to(before, TensorProto.FLOAT16):
            node.op_type = "Identity"
            node.input[0] = before.input[0]
            del node.attribute[:]


def _casts_to(node: onnx.NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and node.attribute[0].i == kind
