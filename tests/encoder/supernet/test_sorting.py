"""Sorted encoders compute what they computed before, and their largest units come first."""

from pathlib import Path

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raysearch.encoder.build import build_encoder
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.config import ConvConfig, EncoderConfig
from raysearch.encoder.encoder import Encoded, Encoder
from raysearch.encoder.frames import frames
from raysearch.encoder.supernet.shared_weights import slice_out
from raysearch.encoder.supernet.sorting import sort_units, width_order
from raysearch.encoder.supernet.sub_network import SubNetwork, whole
from raysearch.errors import InputError
from tests.encoder.small_encoders import WAVLM, each_kind, encoder_configs, small
from tests.encoder.supernet.narrowing import INPUTS, SHORT_INPUTS, assert_same, lively


def in_order(encoder: Encoder, inputs: tuple[torch.Tensor, torch.Tensor] = INPUTS) -> tuple[Encoded, Encoded]:
    """The hidden states of the encoder in the order of the sorted one's, and those of the sorted one."""
    order_D = width_order(encoder)
    assert sorted(order_D.tolist()) == list(range(encoder.config.width))
    with torch.no_grad():
        before, after = encoder(*inputs), sort_units(encoder)(*inputs)
    hidden = tuple(x_BTD[..., order_D] for x_BTD in before.hidden)
    return before._replace(output_BTD=before.output_BTD[..., order_D], hidden=hidden), after


@each_kind
def test_sorted_then_the_output_is_the_same_in_another_order(config: EncoderConfig) -> None:
    encoder = lively(config)
    expected, found = in_order(encoder)
    assert_same(found, expected)
    assert width_order(encoder).tolist() != list(range(config.width))


@settings(max_examples=15, deadline=None)
@given(config=encoder_configs(), seed=st.integers(0, 99))
def test_any_encoder_sorted_then_the_output_is_the_same(config: EncoderConfig, seed: int) -> None:
    assume(frames(config, 1500))
    torch.manual_seed(seed)
    expected, found = in_order(lively(config), SHORT_INPUTS)
    # A LayerNorm of a few channels that hardly differ magnifies how they were rounded.
    assert_same(found, expected, atol=1e-3)


@each_kind
def test_sorted_then_saved_and_loaded_it_is_the_same(config: EncoderConfig, tmp_path: Path) -> None:
    ordered = sort_units(lively(config))
    save_encoder(ordered, tmp_path)
    assert torch.equal(load_encoder(tmp_path).eval()(*INPUTS).output_BTD, ordered(*INPUTS).output_BTD)


@each_kind
def test_sorted_twice_then_nothing_moves(config: EncoderConfig) -> None:
    once = sort_units(lively(config))
    assert width_order(once).tolist() == list(range(config.width))
    twice = sort_units(once).state_dict()
    assert all(torch.equal(weight, twice[name]) for name, weight in once.state_dict().items())


@pytest.mark.parametrize(
    "config",
    [
        pytest.param(small("group", relative_positions=WAVLM), id="wavlm"),
        pytest.param(small("logmel", "pre"), id="logmel"),
        pytest.param(small("whisper", "pre"), id="whisper"),
    ],
)
def test_first_units_that_do_nothing_then_sorted_a_slice_without_them_is_the_encoder(config: EncoderConfig) -> None:
    encoder, everything = lively(config), whole(config)
    with torch.no_grad():
        channels = config.front_end.channels[0]
        encoder.front_end.convs[0].weight.unflatten(0, (-1, channels))[:, :2] = 0
        encoder.front_end.convs[1].weight[:, :2] = 0
        for block in encoder.blocks:
            head_width = block.attention.q.out_features // block.attention.heads
            for linear in (block.attention.q, block.attention.k, block.attention.v):
                linear.weight[:head_width] = 0
            block.attention.out.weight[:, :head_width] = 0
            block.ffn.up.weight[:3] = 0
            block.ffn.down.weight[:, :3] = 0
    sub = SubNetwork(
        blocks=everything.blocks,
        width=everything.width,
        heads=tuple(heads - 1 for heads in everything.heads),
        ffn=tuple(ffn - 3 for ffn in everything.ffn),
        channels=(channels - 2, *everything.channels[1:]),
    )
    expected, _ = in_order(encoder)
    with torch.no_grad():
        assert_same(slice_out(sort_units(encoder), sub).eval()(*INPUTS), expected)
        unsorted = slice_out(encoder, sub).eval()(*INPUTS)
    assert not torch.allclose(unsorted.output_BTD, encoder(*INPUTS).output_BTD, atol=1e-2)


def test_heavy_channels_of_the_width_then_the_first_of_their_pieces() -> None:
    # Width 16 with 4 groups has 4 pieces of 4 channels.
    encoder, heavy = lively(small()), [2, 7, 9, 15]
    with torch.no_grad():
        encoder.projection.weight[heavy] *= 1_000
    assert width_order(encoder)[::4].tolist() == heavy
    assert torch.equal(sort_units(encoder).projection.bias[::4], encoder.projection.bias[heavy])


def test_heads_with_relative_positions_then_they_keep_their_own_column() -> None:
    encoder = lively(small("layer", relative_positions=WAVLM))
    with torch.no_grad():
        encoder.blocks[0].attention.v.weight[8:] *= 1_000
    assert sort_units(encoder).blocks[0].attention.gate.of_N.tolist() == [1, 0]


def test_encoder_without_a_transformer_then_refused() -> None:
    with pytest.raises(InputError, match=r"^encoder: kind: conv; expected one with a transformer: .*statistics"):
        sort_units(build_encoder(ConvConfig(bins=8, channels=[2], width=4)))
