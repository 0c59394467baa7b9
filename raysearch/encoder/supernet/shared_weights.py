"""Runs and slices sub-networks on the weights of one encoder, which all of them share.

A sub-network computes what the whole encoder computes while every unit that is not kept is zero wherever it is written:

- A LayerNorm over units that are not all kept takes its statistics from the kept ones, and has their part of the scale
  and shift. So it is in the blocks, before or after their sub-layers (`norm: pre`, `post`), in the encoder's own norm,
  in adapters, before the projection, and after each convolution of a `layer` front end. The GroupNorm of a `group`
  front end norms each channel alone. No norm keeps running statistics, so nothing has to be calibrated. The batch norms
  of an encoder without a transformer do, and such an encoder is refused.
- The position convolution keeps its groups, and each of them becomes narrower. Its taps are normalised over all
  weights of the whole, never over the kept ones alone: the sub-network has a part of the kernel that the whole has.
- Relative positions keep their table, and each head that stays its own column of it. Sinusoids lose as many sines as
  cosines.
- Whisper's last convolution has the width as its channels. Log-mel bins and their normalisation stay whole.
- A block that is not kept is as if it were not there. A sub-layer without units keeps its output bias, and with
  `norm: pre` loses its norm, as in every slice.

Shapes: B batch, S samples, D width, X any.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import TypeVar

from torch import Tensor, nn
from torch.func import functional_call
from torch.linalg import vector_norm

from raysearch.encoder.build import bare_encoder
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.gates import OUTPUT
from raysearch.encoder.slicing import (
    POSITION_KERNEL,
    Axis,
    assembled,
    channel_axes,
    ffn_axes,
    head_axes,
    renumbered,
    width_axes,
)
from raysearch.encoder.supernet.sub_network import SubNetwork, sub_config, whole, width_pieces

POSITION_LENGTHS = "position_conv.conv.parametrizations.weight.original0"
"""The length of each tap of the position convolution's kernel, (1, 1, taps)."""
SKELETONS = 64
"""Sub-networks whose modules are kept. Those of one take tens of milliseconds to make."""

Result = TypeVar("Result")


def sub_weights(encoder: Encoder, sub: SubNetwork) -> dict[str, Tensor]:
    """The weights and buffers of the sub-network, under the names that they have in the slice's state dict.

    They are parts of the encoder's own, and gradients flow into those. Most are views. What has gaps in memory is
    gathered: the width of an encoder whose width has pieces, and the two halves of a gated linear unit.
    Raises: InputError if the encoder has no such sub-network.
    """
    sub_config(encoder.config, sub)
    weights: dict[str, Tensor] = {
        name: weight
        for name, weight in encoder.state_dict(keep_vars=True).items()
        if not name.startswith("blocks.") or int(name.split(".")[1]) in sub.blocks
    }
    for block, heads, ffn in zip(sub.blocks, sub.heads, sub.ffn, strict=True):
        for part, units in (("attention", heads), ("ffn", ffn)):
            if not units:
                _empty(weights, f"blocks.{block}.{part}", OUTPUT[part], encoder.config.norm == "pre")
    for axis, kept in _unit_axes(encoder.config, sub):
        if axis.name in weights:
            weights[axis.name] = _first(weights[axis.name], axis, kept)
    if sub.width < encoder.config.width:
        _narrow(weights, encoder.config, sub.width)
    return renumbered(weights, sub.blocks)


def slice_out(encoder: Encoder, sub: SubNetwork) -> Encoder:
    """The sub-network as an ordinary encoder with weights of its own. Dropout is not taken over.

    Raises: InputError if the encoder has no such sub-network.
    """
    sliced = assembled(sub_config(encoder.config, sub), sub_weights(encoder, sub))
    return sliced.to(next(encoder.parameters()).device)


class Supernet(nn.Module):
    """An encoder whose sub-networks can all be run, and trained, on its own weights.

    A sub-network runs in the modules of its slice, which are built without weights and borrow those of the encoder for
    the time of a call. The modules of the sub-networks that ran last are kept. Dropout is that of the encoder's own
    blocks, in its rate and in whether it is on.
    Source: weights shared by the first units of each layer as in Cai et al., Once-for-All, ICLR 2020, and Wang et al.,
    LightHuBERT, Interspeech 2022.
    """

    def __init__(self, encoder: Encoder) -> None:
        """Takes the encoder over. Raises: InputError if it has no transformer."""
        super().__init__()
        self.whole = whole(encoder.config)
        self.encoder = encoder
        self._skeletons: OrderedDict[SubNetwork, _Skeleton] = OrderedDict()

    @property
    def config(self) -> EncoderConfig:
        return self.encoder.config

    def forward(self, audio_BS: Tensor, samples_B: Tensor, sub: SubNetwork | None = None) -> Encoded:
        """The hidden states that the sub-network gives, or without one the whole, as an encoder gives them."""
        return self.run(sub or self.whole, lambda encoder: encoder(audio_BS, samples_B))

    def run(self, sub: SubNetwork, use: Callable[[Encoder], Result]) -> Result:
        """What `use` returns for the sub-network as an encoder, whose weights it has only for the time of this call.

        Raises: InputError if the encoder has no such sub-network.
        """
        if sub == self.whole:
            return use(self.encoder)
        skeleton = self._skeleton(sub)
        # The front end's buffers are the same in every sub-network. State dicts lack some of them.
        buffers = {f"front_end.{name}": buffer for name, buffer in self.encoder.front_end.named_buffers()}
        weights = {f"encoder.{name}": x for name, x in (buffers | sub_weights(self.encoder, sub)).items()}
        result: Result = functional_call(skeleton, weights, (use,), tie_weights=False, strict=True)
        return result

    def _skeleton(self, sub: SubNetwork) -> _Skeleton:
        if sub not in self._skeletons:
            self._skeletons[sub] = _Skeleton(self.encoder, sub)
            if len(self._skeletons) > SKELETONS:
                self._skeletons.popitem(last=False)
        self._skeletons.move_to_end(sub)
        return self._skeletons[sub]


class _Skeleton(nn.Module):
    """The modules of a slice, without weights."""

    def __init__(self, encoder: Encoder, sub: SubNetwork) -> None:
        super().__init__()
        self.encoder = bare_encoder(sub_config(encoder.config, sub))
        for block, index in zip(self.encoder.blocks, sub.blocks, strict=True):
            block.dropout = encoder.blocks[index].dropout

    def forward(self, use: Callable[[Encoder], Result]) -> Result:
        return use(self.encoder)


def _unit_axes(config: EncoderConfig, sub: SubNetwork) -> Iterator[tuple[Axis, int]]:
    """Each place in which channels of the front end, heads or feed-forward units stand, with how many are kept."""
    for layer, channels in enumerate(sub.channels):
        yield from ((axis, channels) for axis in channel_axes(config, layer))
    for block, heads, ffn in zip(sub.blocks, sub.heads, sub.ffn, strict=True):
        yield from ((axis, heads) for axis in head_axes(config, block))
        yield from ((axis, ffn) for axis in ffn_axes(block))


def _first(weight: Tensor, axis: Axis, kept: int) -> Tensor:
    """The weight with the first units alone."""
    return axis.together(axis.apart(weight).narrow(axis.dimension + 1, 0, kept))


def _narrow(weights: dict[str, Tensor], config: EncoderConfig, width: int) -> None:
    """Keeps the first channels of each piece of the width, in all weights."""
    pieces = width_pieces(config)
    whole_DXX = weights.get(POSITION_KERNEL)
    for axis in width_axes(config):
        if axis.name in weights:
            # A weight that has one group's or one head's channels alone has the pieces of one group or head.
            copies = pieces * weights[axis.name].shape[axis.dimension] // config.width
            weights[axis.name] = _first(weights[axis.name], axis._replace(copies=copies), width // pieces)
    if whole_DXX is not None:
        share_11X = _tap_lengths(weights[POSITION_KERNEL]) / _tap_lengths(whole_DXX)
        weights[POSITION_LENGTHS] = weights[POSITION_LENGTHS] * share_11X


def _tap_lengths(kernel_DXX: Tensor) -> Tensor:
    """The length of each tap of a kernel, over all its inputs and outputs (1, 1, taps)."""
    lengths_11X: Tensor = vector_norm(kernel_DXX, dim=(0, 1), keepdim=True)
    return lengths_11X


def _empty(weights: dict[str, Tensor], path: str, output: str, pre: bool) -> None:
    """Leaves a sub-layer its output bias alone. A norm in front of it has nothing to do and goes too."""
    bias_D = weights.get(f"{path}.bias", weights.get(f"{path}.{output}.bias"))
    assert bias_D is not None
    gone = (f"{path}.", f"{path}_norm.") if pre else (f"{path}.",)
    for name in [name for name in weights if name.startswith(gone)]:
        del weights[name]
    weights[f"{path}.bias"] = bias_D
