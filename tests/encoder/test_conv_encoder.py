"""The convolutional encoder: published sizes, exact costs, and features that padding does not change."""

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from raysearch.encoder.build import build_encoder
from raysearch.encoder.checkpoint import load_encoder, save_encoder
from raysearch.encoder.config import ConvConfig
from raysearch.encoder.cost import macs, params

SMALL = ConvConfig(channels=[4, 8, 8], width=16)


# UnFuSeD's encoder at four widths; 5,321,856 is its own.
@pytest.mark.parametrize(("width", "count"), [(512, 600_192), (1024, 1_649_792), (2048, 5_321_856), (3072, 11_091_072)])
def test_params_at_published_widths(width, count):
    config = ConvConfig(width=width)
    with torch.device("meta"):
        built = sum(parameter.numel() for parameter in build_encoder(config).parameters())
    assert params(config) == built == count


def test_macs_against_hooks():
    encoder = build_encoder(SMALL).eval()
    counted = []

    def count(module, inputs, output):
        if isinstance(module, nn.Conv2d):
            counted.append(9 * module.in_channels * output.numel())
        elif isinstance(module, nn.Linear):
            counted.append(module.in_features * output.numel())

    for module in encoder.modules():
        module.register_forward_hook(count)
    encoder(torch.randn(1, 12_345), torch.tensor([12_345]))
    assert macs(SMALL, 12_345) == sum(counted)


@pytest.mark.parametrize("levels", [{}, {"centred": True}, {"range_db": 20.0}])
def test_cut_padded_in_a_batch_then_the_same_features(levels):
    torch.manual_seed(0)
    encoder = build_encoder(SMALL.model_copy(update=levels)).eval()
    audio_BS, samples_B = torch.randn(2, 16_000), torch.tensor([16_000, 9_000])
    audio_BS[1, 9_000:] = 0
    together, alone = encoder(audio_BS, samples_B), encoder(audio_BS[1:, :9_000], samples_B[1:])
    frames = int(alone.frames_B)
    assert together.frames_B.tolist() == [12, frames]
    torch.testing.assert_close(together.output_BTD[1, :frames], alone.output_BTD[0, :frames])


def test_batch_norm_then_statistics_of_valid_frames_only():
    torch.manual_seed(0)
    encoders = [build_encoder(SMALL).train() for _ in range(2)]
    encoders[1].load_state_dict(encoders[0].state_dict())
    audio_S = torch.randn(8_000)
    encoders[0](audio_S[None].expand(2, -1), torch.tensor([8_000, 8_000]))
    padded_BS = torch.zeros(2, 16_000)
    padded_BS[:, :8_000] = audio_S
    encoders[1](padded_BS, torch.tensor([8_000, 8_000]))
    one, other = (encoder.front_end.norms[0] for encoder in encoders)
    torch.testing.assert_close(one.running_mean, other.running_mean)
    torch.testing.assert_close(one.running_var, other.running_var)


@pytest.mark.parametrize("levels", [{"centred": True}, {"range_db": 20.0}])
def test_centred_or_in_a_range_then_a_louder_recording_is_the_same(levels):
    torch.manual_seed(0)
    encoder = build_encoder(SMALL.model_copy(update=levels)).eval()
    audio_BS, samples_B = 0.01 * torch.randn(1, 8_000), torch.tensor([8_000])
    quiet, loud = (encoder(factor * audio_BS, samples_B).output_BTD for factor in (1, 8))
    torch.testing.assert_close(quiet, loud, rtol=1e-3, atol=1e-4)


def test_saved_then_loaded_as_it_was(tmp_path):
    encoder = build_encoder(SMALL).eval()
    save_encoder(encoder, tmp_path)
    loaded = load_encoder(tmp_path).eval()
    inputs = torch.randn(1, 8_000), torch.tensor([8_000])
    assert loaded.config == SMALL
    assert torch.equal(loaded(*inputs).output_BTD, encoder(*inputs).output_BTD)


def test_more_stages_than_bins_is_refused():
    with pytest.raises(ValidationError, match="expected at least 16"):
        ConvConfig(bins=8, channels=[4] * 4)
