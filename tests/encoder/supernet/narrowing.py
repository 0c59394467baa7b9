"""Random sub-networks, and what the whole encoder computes when whatever a sub-network leaves out is zero.

The masks know nothing of the slice's weights: they are hooks on the modules of the whole encoder.
"""

from __future__ import annotations

import random
from copy import deepcopy

import torch
from torch import Tensor, nn

from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.gates import OpenChannelNorm, OpenNorm
from raysearch.encoder.supernet.sub_network import SubNetwork, width_pieces

AUDIO_BS = torch.randn(2, 6000, generator=torch.Generator().manual_seed(0))
INPUTS = AUDIO_BS, torch.tensor([6000, 4000])
SHORT_INPUTS = AUDIO_BS[:, :1500], torch.tensor([1500, 900])
"""For encoders that make a frame of each sample."""


def lively(config: EncoderConfig) -> Encoder:
    """An encoder in eval mode whose weights are large enough to matter, biases and norms included."""
    encoder = Encoder(config).eval()
    with torch.no_grad():
        for name, parameter in encoder.named_parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
            elif "blocks" in name or "position_conv" in name:
                parameter.add_(0.1 * torch.randn_like(parameter))
    return encoder


def narrowed(config: EncoderConfig, draw: random.Random) -> SubNetwork:
    """A random sub-network, which may lose blocks, width, and units of every family, down to none in a sub-layer."""
    pieces = width_pieces(config)
    blocks = sorted(draw.sample(range(config.depth), draw.randint(1, config.depth)))
    widths = range(pieces, config.width + 1, pieces)
    kept = [config.block_list[block] for block in blocks]
    return SubNetwork(
        blocks=tuple(blocks),
        width=draw.choice(widths),
        heads=tuple(draw.randint(0, block.heads) for block in kept),
        ffn=tuple(draw.randint(0, block.ffn) for block in kept),
        channels=tuple(draw.randint(1, channels) for channels in config.front_end.channels[: config.free_convs]),
    )


def assert_same(found: Encoded, expected: Encoded, atol: float = 1e-5) -> None:
    """All hidden states are the same where frames are valid."""
    assert torch.equal(found.frames_B, expected.frames_B)
    valid_BT = expected.valid_BT
    for x_BTD, y_BTD in zip((found.output_BTD, *found.hidden), (expected.output_BTD, *expected.hidden), strict=True):
        torch.testing.assert_close(x_BTD[valid_BT], y_BTD[valid_BT], rtol=1e-5, atol=atol)


def kept_channels(config: EncoderConfig, width: int) -> Tensor:
    """The places in the whole width of the channels that are kept: the first ones of each piece."""
    piece = config.width // width_pieces(config)
    return (torch.arange(config.width) % piece < width // width_pieces(config)).nonzero()[:, 0]


@torch.no_grad()
def masked(encoder: Encoder, sub: SubNetwork, inputs: tuple[Tensor, Tensor] = INPUTS) -> Encoded:
    """The hidden states of the whole encoder under masks, with the kept channels alone."""
    config, place_D = encoder.config, kept_channels(encoder.config, sub.width)
    whole = deepcopy(encoder)
    open_D = torch.zeros(config.width)
    open_D[place_D] = 1.0
    _mask_front_end(whole, sub, open_D)
    if config.sinusoids:
        whole.sinusoids_TD.mul_(open_D)
    if config.position_conv:
        whole.position_conv.register_forward_hook(lambda module, given, y_BTD: y_BTD * open_D)
    if config.time_reduction:
        whole.time_reduction.register_forward_hook(lambda module, given, y_BTD: y_BTD * open_D)
    _close(whole, "norm", open_D)
    whole.blocks = nn.ModuleList(whole.blocks[block] for block in sub.blocks)
    for block, index, heads, ffn in zip(whole.blocks, sub.blocks, sub.heads, sub.ffn, strict=True):
        for part, reader, kept in (
            (block.attention, "out", heads * config.block_list[index].head_width),
            (block.ffn, "down", ffn),
        ):
            if hasattr(part, reader):
                getattr(part, reader).register_forward_pre_hook(lambda module, given, kept=kept: _first(*given, kept))
            part.register_forward_hook(lambda module, given, y_BTD: y_BTD * open_D)
        for parent, name in ((block, "attention_norm"), (block, "ffn_norm")):
            if isinstance(getattr(parent, name), nn.LayerNorm):
                _close(parent, name, open_D)
        if hasattr(block, "adapter"):
            _close(block.adapter, "norm", open_D)
            block.adapter.register_forward_hook(lambda module, given, y_BTD: y_BTD * open_D)
    encoded = whole(*inputs)
    hidden = tuple(x_BTD[..., place_D] for x_BTD in encoded.hidden)
    return Encoded(encoded.output_BTD[..., place_D], hidden, encoded.frames_B)


def _mask_front_end(whole: Encoder, sub: SubNetwork, open_D: Tensor) -> None:
    config, front_end = whole.config, whole.front_end
    halves = 2 if config.front_end.kind == "logmel" else 1
    masks = [
        (torch.arange(full) < kept).float() for full, kept in zip(config.front_end.channels, sub.channels, strict=False)
    ]
    if not config.projects:
        masks.append(open_D)
    for layer, open_C in enumerate(masks):
        mask_C1 = open_C.repeat(halves)[:, None]
        front_end.convs[layer].register_forward_hook(lambda module, given, y_BCT, mask=mask_C1: y_BCT * mask)
        norms = getattr(front_end, "norms", [])
        if layer < len(norms) and isinstance(norms[layer], nn.LayerNorm):
            norms[layer] = OpenChannelNorm.of(norms[layer])
            norms[layer].open_C.copy_(open_C)
        elif layer < len(norms):
            norms[layer].register_forward_hook(lambda module, given, y_BCT, mask=mask_C1: y_BCT * mask)
    if config.norms_features:
        _close(whole, "feature_norm", masks[-1])
    if config.projects:
        whole.projection.register_forward_hook(lambda module, given, y_BTD: y_BTD * open_D)


def _close(parent: nn.Module, name: str, open_C: Tensor) -> None:
    norm = OpenNorm.of(getattr(parent, name))
    norm.open_C.copy_(open_C)
    setattr(parent, name, norm)


def _first(x_BTU: Tensor, kept: int) -> Tensor:
    return x_BTU * (torch.arange(x_BTU.shape[-1]) < kept)
