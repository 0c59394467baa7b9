"""Masks and dropped blocks: how much is hidden, from whom, and that nothing is left behind."""

from itertools import pairwise

import pytest
import torch

from raysearch.encoder.encoder import Encoder
from raysearch.methods.settings import StudentSettings
from raysearch.tasks.disturbed_encoder import dropped_blocks, masked_features, spans
from raysearch.tasks.settings import MaskSettings
from tests.encoder.small_encoders import small

CPU = torch.device("cpu")


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    config = StudentSettings(depth=3, width=48, heads=2, channels=8, position_kernel=3).encoder()
    return Encoder(config).eval()


@pytest.fixture
def given():
    return torch.randn(4, 32_000), torch.full((4,), 32_000)


def test_spans_hide_about_the_share_that_was_asked():
    torch.manual_seed(0)
    hidden_BN = spans(200, 1_000, 0.5, 10, CPU)
    # With N places, of which each begins a span with probability p, a place is seen with (1 - p) ^ span.
    assert hidden_BN.float().mean().item() == pytest.approx(1 - (1 - 0.05) ** 10, abs=0.01)
    assert not spans(3, 7, 0.0, 10, CPU).any()


def test_every_span_is_as_long_as_asked_unless_the_row_ends():
    torch.manual_seed(0)
    edges = torch.nn.functional.pad(spans(100, 200, 0.05, 8, CPU).int(), (1, 1)).diff(dim=1)
    begins, ends = (edges == 1).nonzero(), (edges == -1).nonzero()
    lengths = ends[:, 1] - begins[:, 1]
    assert (lengths[ends[:, 1] < 200] >= 8).all()
    assert lengths.min() >= 1


@pytest.mark.parametrize("settings", [MaskSettings(mask_time=0.4), MaskSettings(mask_channels=0.4)])
def test_masked_features_are_zero_in_whole_frames_or_channels(encoder, given, settings):
    torch.manual_seed(0)
    with masked_features(encoder, settings):
        x_BTD, _ = encoder.features(*given)
    plain_BTD, _ = encoder.features(*given)
    zero_BTD = x_BTD == 0
    assert 0.1 < zero_BTD.float().mean() < 0.6
    whole_BX = zero_BTD.all(2) if settings.mask_time else zero_BTD.all(1)
    assert whole_BX.float().mean().item() == pytest.approx(zero_BTD.float().mean().item(), abs=1e-3)
    assert torch.equal(x_BTD[~zero_BTD], plain_BTD[~zero_BTD])
    assert not torch.equal(whole_BX[0], whole_BX[1])


def test_features_of_a_whisper_are_masked_though_nothing_projects_them(given):
    torch.manual_seed(0)
    encoder = Encoder(small("whisper", "pre")).eval()
    with masked_features(encoder, MaskSettings(mask_time=0.4)):
        x_BTD, _ = encoder.features(*given)
    assert 0.1 < (x_BTD == 0).all(2).float().mean() < 0.6
    assert not (encoder.features(*given)[0] == 0).all(2).any()


def test_nothing_is_drawn_without_masks_and_nothing_left_after_them(encoder, given):
    torch.manual_seed(0)
    state = torch.random.get_rng_state()
    with masked_features(encoder, MaskSettings()), dropped_blocks(encoder, 0.0):
        encoder(*given)
    assert torch.equal(torch.random.get_rng_state(), state)
    with masked_features(encoder, MaskSettings(mask_time=0.5)), dropped_blocks(encoder, 0.9):
        masked = encoder(*given)
    assert not torch.equal(masked.output_BTD, encoder(*given).output_BTD)
    assert not any(module._forward_hooks for module in encoder.modules())


def test_dropped_block_hands_on_what_it_was_given(encoder, given):
    torch.manual_seed(0)
    dropped = 0
    for _ in range(40):
        with dropped_blocks(encoder, 0.25):
            hidden = encoder(*given).hidden
        same = [torch.equal(before, after) for before, after in pairwise(hidden)]
        dropped += sum(same)
    assert dropped / (40 * 3) == pytest.approx(0.25, abs=0.12)
