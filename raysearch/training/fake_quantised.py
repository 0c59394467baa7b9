"""Fake quantisation: values are rounded to those that 8 bits can hold, and gradients pass as if they were not.

Ranges are taken as onnxruntime takes them, so that a student computes what its file will compute, as far as that has 8
bits: linear layers that read frames, the two products of attention, and convolutions.

Shapes: B recordings, N heads, T frames, K keys, H head width, X all axes after the first.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.transformer import Attention
from raysearch.training.quantised import Quantised

WEIGHT_MOST, ENTERING_MOST = 64, 255
"""Weights are whole numbers from -64 to 64, and what enters them such from 0 to 255, each times a scale."""
_CONVOLUTIONS = (F.conv1d, F.conv2d)
_PRODUCTS = (torch.matmul, Tensor.matmul, Tensor.__matmul__)


@contextmanager
def fake_quantised(student: Encoder, quantised: Quantised) -> Iterator[None]:
    """While it lasts, the student computes with values of 8 bits. Nothing else does, and its weights stay as they are.

    A range is that of the batch, or of each recording in it. That of the file is found in other speech: for static
    scales in training cuts, which are more than a batch has.
    """
    mode = _Rounding(quantised)
    wrapped: list[tuple[nn.Module, str]] = []
    for layer, name in _computing(student):
        setattr(layer, name, partial(_within, mode, getattr(layer, name)))
        wrapped.append((layer, name))
    try:
        yield
    finally:
        for layer, name in wrapped:
            delattr(layer, name)


def _computing(student: Encoder) -> Iterator[tuple[nn.Module, str]]:
    """The layers whose products have 8 bits in a file, and the functions of each that compute them."""
    for layer in student.modules():
        if isinstance(layer, Attention):
            # Its linear layers come along, as what attention itself computes does.
            yield from ((layer, "forward"), (layer, "map"))
        elif isinstance(layer, nn.Linear | nn.Conv1d | nn.Conv2d):
            yield layer, "forward"


def _within(mode: _Rounding, compute: Callable[..., Any], *args: Any, **named: Any) -> Any:
    if mode.entered:  # by the attention that this layer is in
        return compute(*args, **named)
    with mode:
        return compute(*args, **named)


class _Rounding(TorchFunctionMode):
    """Rounds what enters a product, and its weights, before it is computed."""

    def __init__(self, quantised: Quantised) -> None:
        super().__init__()
        self.entered = False
        self._quantised = quantised

    def __enter__(self) -> Any:
        self.entered = True
        return super().__enter__()

    def __exit__(self, *exception: Any) -> None:
        self.entered = False
        super().__exit__(*exception)

    def __torch_function__(
        self, function: Any, types: Sequence[Any], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        named = dict(kwargs or {})
        # Vectors under a bias become a Gemm in the file, which stays in floats.
        linear = function is F.linear and (args[0].ndim > 2 or _bias(args, named) is None)
        if linear or (function in _CONVOLUTIONS and self._quantised.convolutions):
            x_BX, weight, *others = args
            with _exactly(x_BX):
                return function(self._entering(x_BX), self._weight(weight), *others, **named)
        if function in _PRODUCTS and self._quantised.static:
            with _exactly(args[0]):
                return function(*map(_rounded, args))
        if function is F.scaled_dot_product_attention and self._quantised.static:
            with _exactly(args[0]):
                return _attention(*args, **named)
        return function(*args, **named)

    def _entering(self, x_BX: Tensor) -> Tensor:
        return _rounded(x_BX) if self._quantised.static else _rounded_rows(x_BX)

    def _weight(self, weight_OX: Tensor) -> Tensor:
        """A weight rounded to whole numbers times one scale, or one for each output."""
        weight_OX = weight_OX.float()
        with torch.no_grad():
            most = weight_OX.abs().flatten(1).amax(1) if self._quantised.static else weight_OX.abs().amax()
            scale = _scale(most, WEIGHT_MOST)
            zero = torch.zeros_like(scale, dtype=torch.int32)
        if self._quantised.static:
            return torch.fake_quantize_per_channel_affine(weight_OX, scale, zero, 0, -WEIGHT_MOST, WEIGHT_MOST)
        return torch.fake_quantize_per_tensor_affine(weight_OX, scale, zero, -WEIGHT_MOST, WEIGHT_MOST)


def _bias(args: Sequence[Any], named: Mapping[str, Any]) -> Tensor | None:
    found: Tensor | None = args[2] if len(args) > 2 else named.get("bias")
    return found


def _exactly(x_BX: Tensor) -> torch.autocast:
    """Half precision would round what was rounded to 8 bits once more."""
    return torch.autocast(x_BX.device.type, enabled=False)


def _attention(q_BNTH: Tensor, k_BNKH: Tensor, v_BNKH: Tensor, attn_mask: Tensor | None = None) -> Tensor:
    """The attention of the file, whose two products have 8 bits on both sides."""
    scores_BNTK = _rounded(q_BNTH) @ _rounded(k_BNKH).transpose(2, 3) / math.sqrt(q_BNTH.shape[3])
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        scores_BNTK = scores_BNTK.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        scores_BNTK = scores_BNTK + attn_mask
    return _rounded(scores_BNTK.softmax(-1)) @ _rounded(v_BNKH)


def _rounded(x_BX: Tensor) -> Tensor:
    """The values rounded to 256 steps, which span the range of all and zero."""
    x_BX = x_BX.float()
    with torch.no_grad():
        least, most = x_BX.amin().clamp(max=0.0), x_BX.amax().clamp(min=0.0)
        scale = _scale(most - least, ENTERING_MOST)
        zero = (-least / scale).round().to(torch.int32)
    return torch.fake_quantize_per_tensor_affine(x_BX, scale, zero, 0, ENTERING_MOST)


def _rounded_rows(x_BX: Tensor) -> Tensor:
    """The values of each row rounded to 256 steps, which span its range and zero. Its padding counts as well."""
    x_BX = x_BX.float()
    with torch.no_grad():
        flat_BX = x_BX.flatten(1)
        least_B, most_B = flat_BX.amin(1).clamp(max=0.0), flat_BX.amax(1).clamp(min=0.0)
        scale_B = _scale(most_B - least_B, ENTERING_MOST)
        zero_B = (-least_B / scale_B).round().to(torch.int32)
    return torch.fake_quantize_per_channel_affine(x_BX, scale_B, zero_B, 0, 0, ENTERING_MOST)


def _scale(span: Tensor, steps: int) -> Tensor:
    # Where all values are zero, any scale will do but zero.
    return torch.where(span > 0, span / steps, torch.ones_like(span))
