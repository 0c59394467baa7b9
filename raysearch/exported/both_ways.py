"""LSTM layers that read both ways, in a form that can be traced for any length and becomes one node of ONNX.

torch would unroll a layer over the frames of the example that it is traced with.

Shapes: B recordings, T frames, X inputs, U units, G four gates of U units each, in ONNX's order (i, o, f, c).
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import onnxscript
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from raysearch.tasks.ctc.superb_heads import BothWays, RecurrentHead

_OPS: Any = onnxscript.opset20


class TraceableBothWays(nn.Module):
    """The same layer with its weights as ONNX has them, both directions in one tensor."""

    def __init__(self, layer: BothWays) -> None:
        super().__init__()
        self.units = layer.hidden_size
        weights = dict(layer.named_parameters())

        def stacked(name: str) -> Tensor:
            return torch.stack([_reordered(weights[f"{name}_l0{way}"], (0, 3, 1, 2)) for way in ("", "_reverse")])

        self.register_buffer("inputs_2GX", stacked("weight_ih"))
        self.register_buffer("states_2GU", stacked("weight_hh"))
        self.register_buffer("biases_2G", torch.cat([stacked("bias_ih"), stacked("bias_hh")], dim=1))

    def forward(self, x_BTX: Tensor, frames_B: Tensor) -> Tensor:
        """The states of both directions side by side, (B, T, 2U), and zero behind a row's frames."""
        states: Tensor = _both_ways(x_BTX, frames_B, self.inputs_2GX, self.states_2GU, self.biases_2G)
        return states


def traceable(head: RecurrentHead) -> RecurrentHead:
    """A copy of the head that can be traced. The head itself stays as it is."""
    copy, layers = deepcopy(head), [layer for layer in head.recurrent if isinstance(layer, BothWays)]
    copy.recurrent = nn.ModuleList(map(TraceableBothWays, layers))
    return copy


def _reordered(x_GX: Tensor, order: tuple[int, ...]) -> Tensor:
    gates = x_GX.detach().chunk(4)
    return torch.cat([gates[gate] for gate in order])


@torch.library.custom_op("raysearch::both_ways", mutates_args=())
def _both_ways(x_BTX: Tensor, frames_B: Tensor, inputs_2GX: Tensor, states_2GU: Tensor, biases_2G: Tensor) -> Tensor:
    packed = pack_padded_sequence(x_BTX, frames_B.cpu(), batch_first=True, enforce_sorted=False)
    weights: list[Tensor] = []
    for inputs_GX, states_GU, biases_2xG in zip(inputs_2GX, states_2GU, biases_2G, strict=True):
        weights += [_reordered(x, (0, 2, 3, 1)) for x in (inputs_GX, states_GU, *biases_2xG.chunk(2))]
    zeros = x_BTX.new_zeros(2, len(x_BTX), states_2GU.shape[2])
    found, _, _ = torch.lstm(packed.data, packed.batch_sizes, (zeros, zeros), weights, True, 1, 0.0, False, True)
    states_BTU, _ = pad_packed_sequence(packed._replace(data=found), batch_first=True, total_length=x_BTX.shape[1])
    return states_BTU


@_both_ways.register_fake
def _shape(x_BTX: Tensor, frames_B: Tensor, inputs_2GX: Tensor, states_2GU: Tensor, biases_2G: Tensor) -> Tensor:
    return x_BTX.new_empty(*x_BTX.shape[:2], 2 * states_2GU.shape[2])


def _node(x_BTX: Any, frames_B: Any, inputs_2GX: Any, states_2GU: Any, biases_2G: Any) -> Any:
    x_TBX, lengths_B = _OPS.Transpose(x_BTX, perm=[1, 0, 2]), _OPS.Cast(frames_B, to=onnxscript.INT32.dtype)
    states_T2BU, _, _ = _OPS.LSTM(
        x_TBX,
        inputs_2GX,
        states_2GU,
        biases_2G,
        lengths_B,
        direction="bidirectional",
        hidden_size=states_2GU.shape[2],
    )
    return _OPS.Reshape(_OPS.Transpose(states_T2BU, perm=[2, 0, 1, 3]), _OPS.Constant(value_ints=[0, 0, -1]))


TRANSLATIONS: dict[Callable[..., Any], Callable[..., Any]] = {torch.ops.raysearch.both_ways.default: _node}
"""What the exporter makes of the layer."""
