"""Encoders that are built for weights that exist already."""

import torch

from raysearch.encoder.build import bare_encoder, build_encoder
from raysearch.encoder.config import ConvConfig, EncoderConfig
from tests.encoder.small_encoders import each_kind


@each_kind
def test_bare_encoder_then_the_names_and_shapes_of_one_that_was_built(config: EncoderConfig) -> None:
    drawn = torch.get_rng_state()
    bare = bare_encoder(config)
    assert torch.equal(torch.get_rng_state(), drawn)
    assert all(weight.is_meta for weight in bare.parameters())
    built = build_encoder(config).state_dict()
    assert {name: weight.shape for name, weight in bare.state_dict().items()} == {
        name: weight.shape for name, weight in built.items()
    }


def test_bare_encoder_then_what_no_checkpoint_holds_is_there() -> None:
    config = ConvConfig(bins=8, channels=[2], width=4)
    bare, built = bare_encoder(config), build_encoder(config)
    bare.load_state_dict(built.state_dict(), assign=True)
    inputs = torch.randn(1, 4000), torch.tensor([4000])
    assert torch.equal(bare.eval()(*inputs).output_BTD, built.eval()(*inputs).output_BTD)
