"""Our encoder against torchaudio's, layer by layer."""

import pytest
import torch
import torchaudio
from small_encoders import small

from raysearch.encoder.encoder import Encoder
from raysearch.encoder.import_torchaudio import config_of, from_torchaudio, import_torchaudio, to_torchaudio
from raysearch.errors import InputError

TINY_CONVS = [(8, 10, 5), (12, 3, 2), (8, 3, 2), (8, 2, 2)]


def tiny(mode: str, pre: bool, aux: int | None = None) -> torchaudio.models.Wav2Vec2Model:
    torch.manual_seed(0)
    return torchaudio.models.wav2vec2_model(
        extractor_mode=mode,
        extractor_conv_layer_config=TINY_CONVS,
        extractor_conv_bias=pre,
        encoder_embed_dim=24,
        encoder_projection_dropout=0.0,
        encoder_pos_conv_kernel=7 if pre else 8,
        encoder_pos_conv_groups=4,
        encoder_num_layers=3,
        encoder_num_heads=2,
        encoder_attention_dropout=0.0,
        encoder_ff_interm_features=40,
        encoder_ff_interm_dropout=0.0,
        encoder_dropout=0.0,
        encoder_layer_norm_first=pre,
        encoder_layer_drop=0.0,
        aux_num_out=aux,
    ).eval()


def assert_equal_layers(model: torchaudio.models.Wav2Vec2Model, audio_BS: torch.Tensor, *lengths: int) -> None:
    encoder = import_torchaudio(model).eval()
    samples_B = torch.tensor(lengths or [audio_BS.shape[1]] * len(audio_BS))
    with torch.no_grad():
        encoded = encoder(audio_BS, samples_B)
        theirs, frames_B = model.extract_features(audio_BS, samples_B if lengths else None)
        output_BTD, _ = model(audio_BS, samples_B if lengths else None)
    assert frames_B is None or torch.equal(frames_B, encoded.frames_B)
    for row, frames in enumerate(encoded.frames_B.tolist()):
        pairs = [*zip(encoded.hidden[1:], theirs, strict=True), (encoded.output_BTD, output_BTD)]
        for ours_BTD, theirs_BTD in pairs:
            torch.testing.assert_close(ours_BTD[row, :frames], theirs_BTD[row, :frames], atol=1e-5, rtol=0)


@pytest.mark.parametrize(("mode", "pre"), [("group_norm", False), ("layer_norm", True)])
@pytest.mark.parametrize("lengths", [(), (4000, 2345)])
def test_layers_against_torchaudio(mode: str, pre: bool, lengths: tuple[int, ...]) -> None:
    assert_equal_layers(tiny(mode, pre), torch.randn(2, 4000), *lengths)


def test_layers_against_torchaudio_at_full_size() -> None:
    model = torchaudio.models.hubert_base().eval()
    assert_equal_layers(model, torch.randn(1, 16_000))


@pytest.mark.parametrize(("mode", "pre"), [("group_norm", False), ("layer_norm", True)])
def test_keys_there_and_back_are_the_same(mode: str, pre: bool) -> None:
    weights = tiny(mode, pre).state_dict()
    back = to_torchaudio(from_torchaudio(weights))
    assert back.keys() == weights.keys()
    assert all(torch.equal(back[key], weights[key]) for key in weights)
    tiny(mode, pre).load_state_dict(back)


def test_weight_norm_of_older_torch_is_read() -> None:
    model = tiny("group_norm", False)
    weights = model.state_dict()
    conv = "encoder.transformer.pos_conv_embed.conv"
    older = dict(weights)
    older[f"{conv}.weight_g"] = older.pop(f"{conv}.parametrizations.weight.original0")
    older[f"{conv}.weight_v"] = older.pop(f"{conv}.parametrizations.weight.original1")
    ours = from_torchaudio(older)
    assert ours.keys() == Encoder(config_of(model)).state_dict().keys()
    assert ours.keys() == from_torchaudio(weights).keys()


def test_head_of_a_fine_tuned_model_is_left_behind() -> None:
    assert import_torchaudio(tiny("group_norm", False, aux=5)).state_dict().keys() == (
        import_torchaudio(tiny("group_norm", False)).state_dict().keys()
    )


def test_imported_weights_are_no_longer_the_models() -> None:
    model = tiny("group_norm", False)
    encoder = import_torchaudio(model)
    with torch.no_grad():
        encoder.projection.weight.zero_()
    assert model.encoder.feature_projection.projection.weight.any()
    assert encoder.projection.weight.requires_grad


def test_wavlm_is_refused_by_its_own_keys() -> None:
    keys = {"encoder.transformer.layers.0.attention.rel_attn_embed.weight": torch.zeros(1)}
    with pytest.raises(InputError, match="rel_attn_embed"):
        from_torchaudio(keys)


def test_log_mel_encoder_has_no_place_in_torchaudio() -> None:
    with pytest.raises(InputError, match=r"front_end\.log_mel\.mean_M"):
        to_torchaudio(Encoder(small("logmel")).state_dict())
