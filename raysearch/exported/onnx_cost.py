"""Counts the MACs of an exported model in its ONNX graph, to show that what is shipped costs what the search said.

Conv, MatMul, Gemm and LSTM nodes are counted at one length, as `raysearch.encoder.cost` counts them. The mel
filterbank, the statistics of norms and the weighted sum of layers are not counted.
"""

from __future__ import annotations

from collections.abc import Iterator
from math import prod
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime

_SCOPES = "pkg.torch.onnx.name_scopes"
PLACES = (_SCOPES, "pkg.torch.onnx.class_hierarchy")
"""Metadata of a node that say which modules of the model it came from, by their names and classes. torch writes much
more beside them, a third of a small file: lines of code, which count the graphs that the process has made before, so
that the same student would have a file of some bytes more or fewer."""
UNCOUNTED = ("log_mel", "FrameNorm")
"""The mel filterbank, and the norm whose statistics are taken over frames: modules whose products are not counted."""


class GraphMacs(NamedTuple):
    """MACs of the two parts of a model."""

    encoder: int
    head: int


def graph_macs(model: onnx.ModelProto, samples: int) -> GraphMacs:
    """MACs of the model for one recording of so many samples. The model is left as it was."""
    shapes = _shapes(model, samples)
    encoder = head = 0
    for node in _counted(model):
        macs = _macs(node, shapes)
        if "'encoder" in _scope(node):
            encoder += macs
        else:
            head += macs
    return GraphMacs(encoder, head)


def _macs(node: onnx.NodeProto, shapes: dict[str, tuple[int, ...]]) -> int:
    output = shapes[node.output[0]]
    if node.op_type == "Conv":
        # The shape of a weight is (out, in / groups, kernel). Each output value costs the product of all but the first.
        return prod(output) * prod(shapes[node.input[1]][1:])
    if node.op_type == "LSTM":
        # The output is (frames, directions, recordings, units), and each direction has a slice of the weights.
        places = output[0] * output[2]
        return places * sum(prod(shapes[name]) for name in node.input[1:3])
    transposed = any(attribute.name == "transA" and attribute.i for attribute in node.attribute)
    return prod(output) * shapes[node.input[0]][0 if transposed else -1]


def _shapes(model: onnx.ModelProto, samples: int) -> dict[str, tuple[int, ...]]:
    """Shapes of what enters and leaves the counted nodes, for one recording of so many samples.

    The graph is run to find them. Its lengths come out of integer arithmetic, which shape inference cannot follow.
    """
    opened = onnx.ModelProto()
    opened.CopyFrom(model)
    weights = {tensor.name: tuple(tensor.dims) for tensor in opened.graph.initializer}
    present = {value.name for value in opened.graph.output}
    names = dict.fromkeys(name for node in _counted(model) for name in (*node.input[:3], *node.output[:1]))
    wanted = [name for name in names if name not in weights]
    opened.graph.output.extend(onnx.ValueInfoProto(name=name) for name in wanted if name not in present)
    options = onnxruntime.SessionOptions()
    # Optimisation would merge or remove the very nodes that are asked about.
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(opened.SerializeToString(), options, providers=["CPUExecutionProvider"])
    audio_BS, samples_B = np.zeros((1, samples), np.float32), np.array([samples])
    found = session.run(wanted, {"audio": audio_BS, "samples": samples_B})
    return weights | {name: array.shape for name, array in zip(wanted, found, strict=True)}


def in_module(node: onnx.NodeProto, *names: str) -> bool:
    """Whether a node comes from a module with one of these names or classes."""
    return any(name in entry.value for entry in node.metadata_props for name in names)


def _counted(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    for node in model.graph.node:
        if node.op_type in ("Conv", "MatMul", "Gemm", "LSTM") and not in_module(node, *UNCOUNTED):
            yield node


def _scope(node: onnx.NodeProto) -> str:
    return next((entry.value for entry in node.metadata_props if entry.key == _SCOPES), "")
