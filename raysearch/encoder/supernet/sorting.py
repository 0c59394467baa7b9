"""Sorts the units of an encoder by importance, so that sub-networks, which keep the first ones, keep the best.

Shapes: U units of one layer, D width, X any.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy

import torch
from torch import Tensor

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.slicing import POSITION_KERNEL, Axis, channel_axes, ffn_axes, head_axes, width_axes
from raysearch.encoder.supernet.sub_network import whole, width_pieces


@torch.no_grad()
def sort_units(encoder: Encoder) -> Encoder:
    """A copy of the encoder in which the most important units of each layer come first.

    Its hidden states are those of the encoder with the channels in another order, which `width_order` tells. A unit's
    importance is the sum of the magnitudes of the weights that write and read it, without biases and norms. Channels
    of the width are sorted within their piece (see `width_pieces`), by what all blocks together do with them.
    Source: Cai et al., Once-for-All, ICLR 2020, section 3.3.
    Raises: InputError if the encoder has no transformer.
    """
    units = whole(encoder.config)
    matrices = _matrices(encoder)
    layers = [channel_axes(encoder.config, layer) for layer in range(len(units.channels))]
    for block in units.blocks:
        layers += [head_axes(encoder.config, block)] * (units.heads[block] > 0)
        layers += [ffn_axes(block)] * (units.ffn[block] > 0)
    weights = dict(encoder.state_dict())
    for axes in layers:
        order_U = _importance(matrices, axes).argsort(descending=True, stable=True)
        for axis in axes:
            if axis.name in weights:
                weights[axis.name] = axis.take(weights[axis.name], order_U)
    _sort_width(weights, encoder)
    found = deepcopy(encoder)
    found.load_state_dict(weights)
    return found


@torch.no_grad()
def width_order(encoder: Encoder) -> Tensor:
    """The order (D) into which `sort_units` brings the width: its output is the encoder's `output_BTD[..., order_D]`.

    A head that reads the encoder's channels reads those of the copy if its inputs are brought into the same order.
    """
    config = encoder.config
    pieces = width_pieces(config)
    # All heads share the weights of their position gates, so their channels are in the same order.
    heads = config.relative_positions.heads if config.relative_positions else 1
    # The position gates and the inputs of the position convolution do not say how important each channel is alone.
    matrices = _matrices(encoder)
    axes = [axis for axis in width_axes(config) if _length(matrices, axis) == config.width]
    importance_XU = _importance(matrices, axes).view(heads, pieces // heads, -1).sum(0)
    order_XU = importance_XU.argsort(descending=True, stable=True).repeat(heads, 1)
    starts_X1 = torch.arange(pieces, device=order_XU.device)[:, None] * order_XU.shape[1]
    return (starts_X1 + order_XU).flatten()


def _sort_width(weights: dict[str, Tensor], encoder: Encoder) -> None:
    order_D = width_order(encoder)
    kernel_inputs = Axis(POSITION_KERNEL, 1)
    for axis in width_axes(encoder.config):
        if axis.name in weights and axis != kernel_inputs:
            # The first head's order, where a weight has the channels of one head alone, is that of all heads.
            weights[axis.name] = axis.take(weights[axis.name], order_D[: _length(weights, axis)])
    if POSITION_KERNEL in weights:
        weights[POSITION_KERNEL] = _inputs_sorted(weights[POSITION_KERNEL], order_D)


def _inputs_sorted(kernel_DXX: Tensor, order_D: Tensor) -> Tensor:
    """The kernel of a grouped convolution with the inputs of each group in its own order."""
    inputs = kernel_DXX.shape[1]
    order_DX = (order_D % inputs).view(-1, inputs).repeat_interleave(inputs, 0)
    return kernel_DXX.gather(1, order_DX[..., None].expand_as(kernel_DXX))


def _matrices(encoder: Encoder) -> dict[str, Tensor]:
    """All weights that connect units, by name. The position convolution's kernel is the one that it computes with."""
    found = {name: weight.detach() for name, weight in encoder.named_parameters() if weight.ndim > 1}
    return found | ({POSITION_KERNEL: encoder.position_conv.conv.weight} if POSITION_KERNEL in found else {})


def _importance(matrices: dict[str, Tensor], axes: Sequence[Axis]) -> Tensor:
    """The sum of the magnitudes of the weights that write and read each unit (U)."""
    sums = []
    for axis in axes:
        if axis.name in matrices:
            apart_XUX = axis.apart(matrices[axis.name].abs()).movedim(axis.dimension + 1, 0)
            sums.append(apart_XUX.flatten(1).sum(1))
    return torch.stack(sums).sum(0)


def _length(weights: dict[str, Tensor], axis: Axis) -> int:
    return weights[axis.name].shape[axis.dimension] if axis.name in weights else 0
