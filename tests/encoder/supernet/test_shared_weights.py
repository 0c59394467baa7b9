"""A sub-network on shared weights, its slice, and the masked whole give the same, for every kind of encoder."""

import random
from copy import deepcopy

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from raysearch.encoder.build import set_dropout
from raysearch.encoder.config import Adapter, EncoderConfig
from raysearch.encoder.cost import macs, params
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.frames import frames
from raysearch.encoder.supernet import shared_weights
from raysearch.encoder.supernet.shared_weights import Supernet, slice_out, sub_weights
from raysearch.encoder.supernet.sub_network import SubNetwork, sub_config, whole
from tests.encoder.small_encoders import WAVLM, each_kind, encoder_configs, small
from tests.encoder.supernet.narrowing import INPUTS, SHORT_INPUTS, assert_same, lively, masked, narrowed


@each_kind
@pytest.mark.parametrize("seed", range(6))
def test_random_sub_network_then_slice_and_supernet_equal_the_masked_whole(config: EncoderConfig, seed: int) -> None:
    encoder, sub = lively(config), narrowed(config, random.Random(seed))
    expected = masked(encoder, sub)
    with torch.no_grad():
        assert_same(slice_out(encoder, sub).eval()(*INPUTS), expected)
        assert_same(Supernet(encoder)(*INPUTS, sub), expected)


@settings(max_examples=20, deadline=None)
@given(config=encoder_configs(), seed=st.integers(0, 99))
def test_sub_network_of_any_encoder_then_slice_equals_the_masked_whole(config: EncoderConfig, seed: int) -> None:
    assume(frames(config, 1500))
    torch.manual_seed(seed)
    encoder, sub = lively(config), narrowed(config, random.Random(seed))
    with torch.no_grad():
        found, expected = slice_out(encoder, sub).eval()(*SHORT_INPUTS), masked(encoder, sub, SHORT_INPUTS)
    # A LayerNorm of a few channels that hardly differ magnifies how they were rounded.
    assert_same(found, expected, atol=1e-3)


@each_kind
def test_slice_then_cost_and_names_are_those_of_its_document(config: EncoderConfig) -> None:
    encoder, sub = lively(config), narrowed(config, random.Random(7))
    sliced, document = slice_out(encoder, sub), sub_config(config, sub)
    assert EncoderConfig.model_validate(document.model_dump()) == document
    assert sliced.config == document
    assert sum(p.numel() for p in sliced.parameters()) == params(document) < params(config)
    assert macs(sliced.config, 16_000) == macs(document, 16_000) < macs(config, 16_000)
    assert sub_weights(encoder, sub).keys() == sliced.state_dict().keys()


@each_kind
def test_whole_then_it_is_the_encoder_itself(config: EncoderConfig) -> None:
    encoder = lively(config)
    everything = whole(config)
    with torch.no_grad():
        expected = encoder(*INPUTS)
        assert torch.equal(Supernet(encoder)(*INPUTS).output_BTD, expected.output_BTD)
        assert_same(slice_out(encoder, everything).eval()(*INPUTS), expected)
    assert sub_config(config, everything).model_dump(exclude={"blocks"}) == config.model_dump(exclude={"blocks"})
    assert sub_config(config, everything).block_list == config.block_list


# Several sub-networks in one update, as the sandwich rule has them: the second leaves out what the first one trains.
SUB_NETWORKS = [
    SubNetwork(blocks=(0, 1), width=8, heads=(1, 2), ffn=(8, 4), channels=(4, 6)),
    SubNetwork(blocks=(1,), width=12, heads=(3,), ffn=(10,), channels=(8, 12)),
]


def test_gradients_then_in_the_kept_units_of_the_shared_weights_and_nowhere_else() -> None:
    supernet = Supernet(lively(small()))
    supernet(*INPUTS, SUB_NETWORKS[0]).output_BTD.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in supernet.encoder.named_parameters()}
    assert [name for name, gradient in gradients.items() if gradient is None or not gradient.any()] == []
    up_UD = gradients["blocks.0.ffn.up.weight"]
    # Width 16 has 4 pieces of 4 channels, of each of which 2 are kept.
    kept_D = torch.tensor([True, True, False, False]).repeat(4)
    assert up_UD[:8, kept_D].ne(0).all()
    assert not up_UD[8:].any()
    assert not up_UD[:, ~kept_D].any()


def test_gradients_of_two_sub_networks_then_the_sum_of_those_of_their_slices() -> None:
    supernet = Supernet(lively(small("layer", "pre", relative_positions=WAVLM)).train())
    subs = [narrowed(supernet.config, random.Random(seed)) for seed in range(2)]
    sum(supernet(*INPUTS, sub).output_BTD.square().sum() for sub in subs).backward()
    shared = {name: parameter.grad for name, parameter in supernet.encoder.named_parameters()}
    name, total = "norm.weight", torch.zeros(16)
    for sub in subs:
        sliced = slice_out(supernet.encoder, sub)
        sliced(*INPUTS).output_BTD.square().sum().backward()
        own = torch.arange(16) % 4 < sub.width // 4
        total[own] += dict(sliced.named_parameters())[name].grad
    torch.testing.assert_close(shared[name], total, rtol=1e-4, atol=1e-4)


def test_update_of_a_sub_network_then_the_whole_has_changed() -> None:
    encoder = lively(small())
    supernet, before = Supernet(encoder), deepcopy(encoder)
    optimiser = torch.optim.SGD(supernet.parameters(), lr=0.1)
    for sub in SUB_NETWORKS:
        supernet(*INPUTS, sub).output_BTD.square().mean().backward()
    optimiser.step()
    with torch.no_grad():
        assert not torch.allclose(encoder(*INPUTS).output_BTD, before(*INPUTS).output_BTD)
        for sub in SUB_NETWORKS:
            assert_same(slice_out(encoder, sub).eval()(*INPUTS), supernet(*INPUTS, sub))


def test_views_then_an_encoder_without_pieces_is_never_copied() -> None:
    config = small("layer").model_copy(update={"position_conv": None})
    encoder = lively(config)
    shared = {weight.untyped_storage().data_ptr() for weight in encoder.state_dict(keep_vars=True).values()}
    sub = SubNetwork(blocks=(1,), width=7, heads=(2,), ffn=(5,), channels=(5,) * 7)
    assert {weight.untyped_storage().data_ptr() for weight in sub_weights(encoder, sub).values()} < shared


def test_slice_then_its_weights_are_its_own() -> None:
    encoder, sub = lively(small()), SUB_NETWORKS[0]
    sliced = slice_out(encoder, sub)
    before = sub_weights(encoder, sub)["norm.weight"].clone()
    with torch.no_grad():
        for parameter in sliced.parameters():
            parameter.zero_()
    assert torch.equal(sub_weights(encoder, sub)["norm.weight"], before)


def test_modules_of_a_sub_network_then_without_weights_and_kept_only_for_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(shared_weights, "SKELETONS", 1)
    supernet = Supernet(lively(small()))
    names = supernet.state_dict().keys()
    found = [supernet.run(sub, lambda encoder: encoder) for sub in (*SUB_NETWORKS, SUB_NETWORKS[1])]
    assert found[1] is found[2]
    assert all(parameter.is_meta for encoder in found for parameter in encoder.parameters())
    assert [encoder.config.width for encoder in found] == [8, 12, 12]
    assert len(supernet._skeletons) == 1
    assert supernet.state_dict().keys() == names


def test_dropout_then_that_of_the_encoder() -> None:
    encoder = Encoder(small(), dropout=0.5)
    supernet, sub = Supernet(encoder), SUB_NETWORKS[0]
    drawn = [supernet(*INPUTS, sub).output_BTD for _ in range(2)]
    assert not torch.equal(*drawn)
    set_dropout(encoder, 0.0)
    trained = supernet(*INPUTS, sub).output_BTD
    set_dropout(encoder, 0.5)
    supernet.eval()
    assert torch.equal(supernet(*INPUTS, sub).output_BTD, trained)


def test_modules_of_a_sub_network_then_the_generator_of_random_numbers_is_untouched() -> None:
    supernet = Supernet(lively(small()))
    before = torch.get_rng_state()
    supernet(*INPUTS, SUB_NETWORKS[0])
    assert torch.equal(torch.get_rng_state(), before)


def test_adapters_then_both_routes_are_those_of_the_slice() -> None:
    blocks = [block.model_copy(update={"adapter": Adapter(width=3)}) for block in small().block_list]
    supernet, sub = Supernet(lively(small(blocks=blocks))), SUB_NETWORKS[0]
    with torch.no_grad():
        for one, other in zip(
            supernet.run(sub, lambda encoder: encoder.routes(*INPUTS)),
            slice_out(supernet.encoder, sub).eval().routes(*INPUTS),
            strict=True,
        ):
            assert_same(one, other)
