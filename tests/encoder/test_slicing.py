"""A sliced encoder gives what the gated one gives, in every case in which the published procedure does not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder, GateSet
from raysearch.encoder.slicing import slice_encoder
from raysearch.errors import InputError
from tests.encoder.small_encoders import each_kind, each_thin, encoder_configs, small, thin

ALL = ["channels", "heads", "ffn", "attention_layers", "ffn_layers"]


def gated_encoder(config: EncoderConfig, units=ALL, std: float = 2.0) -> GatedEncoder:
    """Random weights, biases and norms included, and random gates."""
    gated = GatedEncoder(Encoder(config), GateSet(config, units)).eval()
    with torch.no_grad():
        for parameter in gated.encoder.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
        for log_alpha_U in gated.gates.parameters():
            log_alpha_U.normal_(0.5, std)
    return gated


def assert_same(gated: GatedEncoder, rows: int = 2, atol: float = 5e-5) -> Encoder:
    samples_B = torch.tensor([6000, 4000][:rows])
    audio_BS = torch.randn(rows, 6000)
    with torch.no_grad():
        masked = gated(audio_BS, samples_B)
        sliced, config = slice_encoder(gated.encoder, gated.gates.values())
        small = sliced.eval()(audio_BS, samples_B)
    assert sliced.config == config
    for one, other in zip((masked.output_BTD, *masked.hidden), (small.output_BTD, *small.hidden), strict=True):
        torch.testing.assert_close(other, one, rtol=1e-5, atol=atol)
    return sliced


@each_kind
@pytest.mark.parametrize("seed", range(2))
def test_slice_of_random_gates_equals_mask(config, seed):
    torch.manual_seed(seed)
    sliced = assert_same(gated_encoder(config))
    assert sum(p.numel() for p in sliced.parameters()) < sum(p.numel() for p in Encoder(config).parameters())


@settings(max_examples=20, deadline=None)
@given(config=encoder_configs(), seed=st.integers(0, 99))
def test_slice_of_any_encoder_equals_mask(config, seed):
    torch.manual_seed(seed)
    # A norm over two or three channels that are nearly equal magnifies rounding. A wrong slice differs by tenths.
    assert_same(gated_encoder(config), atol=1e-3)


@each_thin
def test_slice_of_random_gates_with_reused_maps_equals_mask(config):
    assert_same(gated_encoder(config, ["channels", "ffn", "ffn_layers"]))


@pytest.mark.parametrize("units", [["heads"], ["attention_layers"]])
def test_gates_on_heads_that_blocks_share_then_refused(units):
    with pytest.raises(InputError, match="encoder: blocks that reuse attention maps; expected none where heads"):
        GateSet(thin(), units)


@each_thin
def test_thin_encoder_saved_then_the_same(config, tmp_path):
    encoder = Encoder(config).eval()
    save_encoder(encoder, tmp_path)
    inputs = torch.randn(1, 4000), torch.tensor([4000])
    assert torch.equal(load_encoder(tmp_path).eval()(*inputs).output_BTD, encoder(*inputs).output_BTD)


@each_kind
def test_slice_emptied_sub_layers_equals_mask(config):
    gated = gated_encoder(config, ["heads", "ffn"])
    with torch.no_grad():
        gated.gates.log_alphas["heads"][0].fill_(-9.0)
        gated.gates.log_alphas["ffn"][1].fill_(-9.0)
    sliced = assert_same(gated)
    assert sliced.config.block_list[0].heads == sliced.config.block_list[1].ffn == 0
    assert sliced.blocks[0].attention.bias.any()


def test_slice_closed_sub_layer_gate_drops_its_bias():
    gated = gated_encoder(small(), ["attention_layers"])
    with torch.no_grad():
        gated.gates.log_alphas["attention_layers"][0].copy_(torch.tensor([-9.0, 9.0]))
    sliced = assert_same(gated)
    assert [block.heads for block in sliced.config.block_list] == [0, 3]
    assert not sliced.blocks[0].attention.bias.any()


@each_kind
def test_slice_again_and_saved_then_a_plain_encoder(config, tmp_path):
    once = assert_same(gated_encoder(config))
    twice = assert_same(GatedEncoder(once, GateSet(once.config, ALL, drop=0.4)).eval())
    save_encoder(twice, tmp_path)
    inputs = torch.randn(1, 4000), torch.tensor([4000])
    assert torch.equal(load_encoder(tmp_path).eval()(*inputs).output_BTD, twice(*inputs).output_BTD)
