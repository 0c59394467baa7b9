"""Gates: published counts and probabilities, values that never touch 0 while open, gradients."""

import math

import pytest
import torch

from raysearch.encoder.config import Blocks, EncoderConfig, Waveform
from raysearch.encoder.cost import macs, param_parts, params, parts, sized, sizes_of
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.gates import GatedEncoder, GateSet, OpenNorm
from tests.encoder.small_encoders import each_kind, small

BASE = EncoderConfig(front_end=Waveform(), width=768, blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072))


def scatter(gates: GateSet, mean: float = 0.0, std: float = 2.0) -> GateSet:
    with torch.no_grad():
        for log_alpha_U in gates.parameters():
            log_alpha_U.normal_(mean, std)
    return gates


def test_hubert_base_then_as_many_gates_and_as_sparse_as_published():
    gates = GateSet(BASE, ffn_drop=0.5)
    assert gates.count == 40_592
    size = sum(param_parts(BASE, gates.expected()).values()).item()
    assert 100 * (1 - size / params(BASE)) == pytest.approx(10.18, abs=0.02)


@pytest.mark.parametrize("log_alpha", [-2.0, -1.0, 0.0, 2.0, 4.595])
def test_expected_count_then_as_drawn(log_alpha):
    gates = scatter(GateSet(small(), ["ffn"]), log_alpha, 0.0)
    draws = torch.stack([gates.sample().ffn[0] for _ in range(4000)])
    share = (draws > 0).double().mean().item()
    expected = gates.expected().ffn[0].item() / 24
    assert expected == pytest.approx(1 / (1 + math.exp(-log_alpha - math.log(11) * 2 / 3)), rel=1e-5)
    assert share == pytest.approx(expected, abs=4 * math.sqrt(expected * (1 - expected) / draws.numel()))


def test_expected_cost_of_every_part_then_as_drawn():
    gates = scatter(GateSet(small(), ["channels", "heads", "ffn", "attention_layers", "ffn_layers"]))
    total = torch.zeros(6)
    for _ in range(1500):
        channels, heads, ffn, attention, feed_forward = gates.sample()
        drawn = sizes_of(small())._replace(
            channels=[(z > 0).sum() for z in channels],
            heads=[(h > 0).sum() * (z > 0) for h, z in zip(heads, attention, strict=True)],
            ffn=[(f > 0).sum() * (z > 0) for f, z in zip(ffn, feed_forward, strict=True)],
        )
        total += torch.tensor([float(part) for part in parts(small(), 16_000, drawn).values()])
    with torch.no_grad():
        expected = torch.tensor([float(part) for part in parts(small(), 16_000, gates.expected()).values()])
    torch.testing.assert_close(total / 1500, expected, rtol=0.05, atol=0.0)


def test_hubert_base_with_random_gates_then_realised_macs_are_the_expected():
    for seed in range(5):
        torch.manual_seed(seed)
        gates = scatter(GateSet(BASE))
        expected = sum(parts(BASE, 160_000, gates.expected()).values()).item()
        assert macs(sized(BASE, gates.open_units().sizes), 160_000) == pytest.approx(expected, rel=0.005)


def test_undecided_then_the_share_of_gates_that_may_yet_open_or_close():
    gates = GateSet(small(), ["heads", "ffn"])
    assert gates.undecided() == 0
    with torch.no_grad():
        gates.log_alphas["ffn"][0][:6] = -1.6
    assert gates.undecided().item() == pytest.approx(6 / gates.count)
    assert GateSet(small(), []).undecided() == 0


def test_values_then_likeliest_are_open_and_soft():
    gates = scatter(GateSet(small(), ["ffn"]))
    log_alpha_U, value_U = gates.log_alphas["ffn"][0], gates.values().ffn[0]
    open_U = value_U > 0
    assert open_U.sum() == round(gates.expected().ffn[0].item())
    assert log_alpha_U[open_U].min() > log_alpha_U[~open_U].max()
    torch.testing.assert_close(value_U[open_U], torch.sigmoid(1.2 * log_alpha_U[open_U]))


@each_kind
def test_open_gates_then_the_encoder_is_unchanged(config):
    encoder = Encoder(config).eval()
    audio_BS, samples_B = torch.randn(2, 4000), torch.tensor([4000, 3000])
    before = encoder(audio_BS, samples_B).output_BTD
    gates = scatter(GateSet(config), 40.0, 0.0)
    gated = GatedEncoder(encoder, gates).eval()
    torch.testing.assert_close(gated(audio_BS, samples_B).output_BTD, before, rtol=1e-5, atol=1e-5)


def test_edited_gates_in_eval_then_no_stale_mask():
    gated = GatedEncoder(Encoder(small()), scatter(GateSet(small()))).eval()
    inputs = torch.randn(1, 4000), torch.tensor([4000])
    before = gated(*inputs).output_BTD
    scatter(gated.gates)
    assert not torch.allclose(gated(*inputs).output_BTD, before)


def test_training_pass_then_every_parameter_has_a_gradient():
    units = ["channels", "heads", "ffn", "attention_layers", "ffn_layers"]
    gated = GatedEncoder(Encoder(small("layer", "pre")), scatter(GateSet(small("layer", "pre"), units)))
    gated(torch.randn(2, 4000), torch.tensor([4000, 3000])).output_BTD.square().sum().backward()
    assert [name for name, parameter in gated.named_parameters() if parameter.grad is None] == []


def test_norm_over_open_channels_then_as_if_the_others_were_not_there():
    norm = OpenNorm.of(torch.nn.LayerNorm(6))
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    keep = torch.tensor([0, 2, 5])
    norm.open_C.zero_()[keep] = 1.0
    x_BTC = torch.randn(2, 3, 6)
    expected = torch.nn.functional.layer_norm(x_BTC[..., keep], (3,), norm.weight[keep], norm.bias[keep])
    torch.testing.assert_close(norm(x_BTC)[..., keep], expected)
    assert norm(x_BTC)[..., [1, 3, 4]].eq(0).all()
