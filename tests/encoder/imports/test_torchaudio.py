"""Encoders from torchaudio's models, layer by layer."""

import pytest
import torch
import torchaudio

from raysearch.encoder.imports.torchaudio import import_bundle, import_torchaudio
from raysearch.errors import InputError
from tests.encoder.imports.other_libraries import assert_layers_of_torchaudio, torchaudio_model

bundle_parts = torchaudio.pipelines._wav2vec2.utils
each_model = pytest.mark.parametrize("kind", ["hubert-base", "hubert-large", "wavlm-base", "wavlm-large"])


def normalising(model: torch.nn.Module) -> torch.nn.Module:
    return bundle_parts._extend_model(model, normalize_waveform=True)


@each_model
def test_layers_against_torchaudio(kind: str) -> None:
    model = torchaudio_model(kind)
    assert_layers_of_torchaudio(model, import_torchaudio(model), torch.randn(2, 4000))


@each_model
def test_layers_of_a_padded_batch_against_each_row_alone_in_torchaudio(kind: str) -> None:
    model = torchaudio_model(kind)
    assert_layers_of_torchaudio(model, import_torchaudio(model), torch.randn(2, 4000), 4000, 2345)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["HUBERT_BASE", "HUBERT_LARGE", "WAV2VEC2_XLSR53", "WAVLM_BASE", "WAVLM_LARGE"])
def test_layers_of_bundles_against_torchaudio_at_full_size(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The bundle's own shape and its own waveform normalisation, with random weights instead of a download."""
    bundle = getattr(torchaudio.pipelines, name)
    torch.manual_seed(0)
    weights = bundle_parts._get_model(bundle._model_type, bundle._params).state_dict()
    monkeypatch.setattr(type(bundle), "_get_state_dict", lambda self, dl_kwargs: weights)
    encoder = import_bundle(name)
    model = bundle.get_model()
    audio_BS = 0.05 * torch.randn(1, 16_000)
    with torch.no_grad():
        ours = encoder.eval()(audio_BS, torch.tensor([16_000])).hidden[1:]
        theirs, _ = model.extract_features(audio_BS)
    for our_BTD, their_BTD in zip(ours, theirs, strict=True):
        # Pre-norm layers only add: their values grow with depth, and fp32 rounds in proportion.
        torch.testing.assert_close(our_BTD, their_BTD, atol=1e-5, rtol=1e-5)


def test_bundle_wrapper_sets_normalisation() -> None:
    model = normalising(torchaudio_model("wavlm-large"))
    encoder = import_torchaudio(model)
    assert encoder.config.front_end.normalise
    assert_layers_of_torchaudio(model, encoder, 0.03 * torch.randn(1, 4000) + 0.01)


def test_normalised_audio_in_a_padded_batch_is_as_alone() -> None:
    model = normalising(torchaudio_model("hubert-large"))
    encoder = import_torchaudio(model).eval()
    audio_BS = 0.1 * torch.randn(2, 4000)
    with torch.no_grad():
        both = encoder(audio_BS, torch.tensor([4000, 2500]))
        alone = encoder(audio_BS[1:, :2500], torch.tensor([2500]))
    frames = int(alone.frames_B)
    torch.testing.assert_close(both.output_BTD[1:, :frames], alone.output_BTD, atol=1e-5, rtol=0)


def test_weight_norm_of_older_torch_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    model = torchaudio_model()
    weights = model.state_dict()
    conv = "encoder.transformer.pos_conv_embed.conv"
    older = dict(weights)
    for old, new in (("weight_g", "original0"), ("weight_v", "original1")):
        older[f"{conv}.{old}"] = older.pop(f"{conv}.parametrizations.weight.{new}")
    newer = import_torchaudio(model).state_dict()
    monkeypatch.setattr(model, "state_dict", lambda: older)
    read = import_torchaudio(model).state_dict()
    assert read.keys() == newer.keys()
    assert all(torch.equal(read[key], newer[key]) for key in newer)


def test_head_of_a_fine_tuned_model_is_left_behind() -> None:
    assert import_torchaudio(torchaudio_model(aux=5)).state_dict().keys() == (
        import_torchaudio(torchaudio_model()).state_dict().keys()
    )


def test_imported_weights_are_no_longer_the_models() -> None:
    model = torchaudio_model()
    encoder = import_torchaudio(model)
    with torch.no_grad():
        encoder.projection.weight.zero_()
    assert model.encoder.feature_projection.projection.weight.any()
    assert encoder.projection.weight.requires_grad


def test_unknown_bundle_is_refused() -> None:
    with pytest.raises(InputError, match="torchaudio:HUBERT_TINY; expected a bundle"):
        import_bundle("HUBERT_TINY")
