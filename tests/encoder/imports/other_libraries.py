"""Models of torchaudio and transformers with random weights, and the layers of both compared with ours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
import torchaudio
from torch import nn

from raysearch.encoder.encoder import Encoder

CONVS = [(8, 10, 5), (12, 3, 2), (8, 3, 2), (8, 2, 2)]


def randomised(model: nn.Module, spread: float = 0.1) -> nn.Module:
    """Norms and biases too: at their start, 1 and 0, they could be mixed up unseen."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(spread * torch.randn_like(parameter))
    return model.eval()


def torchaudio_model(kind: str = "hubert-base", aux: int | None = None) -> torchaudio.models.Wav2Vec2Model:
    large = kind.endswith("large")
    shape = {
        "extractor_mode": "layer_norm" if large else "group_norm",
        "extractor_conv_layer_config": CONVS,
        "extractor_conv_bias": large,
        "encoder_embed_dim": 24,
        "encoder_projection_dropout": 0.0,
        "encoder_pos_conv_kernel": 7 if large else 8,
        "encoder_pos_conv_groups": 4,
        "encoder_num_layers": 3,
        "encoder_num_heads": 2,
        "encoder_attention_dropout": 0.0,
        "encoder_ff_interm_features": 40,
        "encoder_ff_interm_dropout": 0.0,
        "encoder_dropout": 0.0,
        "encoder_layer_norm_first": large,
        "encoder_layer_drop": 0.0,
        "aux_num_out": aux,
    }
    torch.manual_seed(0)
    if kind.startswith("wavlm"):
        shape |= {"encoder_num_buckets": 12, "encoder_max_distance": 40}
        return randomised(torchaudio.models.wavlm_model(**shape))
    return randomised(torchaudio.models.wav2vec2_model(**shape))


def transformers_folder(folder: Path, kind: str, pickled: bool = False) -> nn.Module:
    """A model of `hubert-base`, `wav2vec2-large`, ... saved in `folder`."""
    import transformers

    name, size = kind.split("-")
    large = size == "large"
    prefix = {"hubert": "Hubert", "wav2vec2": "Wav2Vec2", "wavlm": "WavLM"}[name]
    channels, kernels, strides = (list(column) for column in zip(*CONVS, strict=True))
    config = getattr(transformers, f"{prefix}Config")(
        conv_dim=channels,
        conv_kernel=kernels,
        conv_stride=strides,
        num_feat_extract_layers=len(CONVS),
        feat_extract_norm="layer" if large else "group",
        conv_bias=large,
        do_stable_layer_norm=large,
        hidden_size=24,
        num_hidden_layers=3,
        num_attention_heads=2,
        intermediate_size=40,
        num_conv_pos_embeddings=7 if large else 8,
        num_conv_pos_embedding_groups=4,
        **({"num_buckets": 12, "max_bucket_distance": 40} if name == "wavlm" else {}),
    )
    torch.manual_seed(0)
    model = randomised(getattr(transformers, f"{prefix}Model")(config))
    model.save_pretrained(folder)
    if pickled:
        torch.save(model.state_dict(), folder / "pytorch_model.bin")
        (folder / "model.safetensors").unlink()
    return model


def assert_layers_of_torchaudio(model: nn.Module, encoder: Encoder, audio_BS: torch.Tensor, *lengths: int) -> None:
    def layers(audio_1S: torch.Tensor) -> list[torch.Tensor]:
        # With norms before the sub-layers torchaudio's last layer has not passed the final norm; its output has.
        return [*model.extract_features(audio_1S)[0], model(audio_1S)[0]]

    _assert_rows_close(encoder, layers, audio_BS, lengths, first=1)


def assert_layers_of_transformers(model: nn.Module, encoder: Encoder, audio_BS: torch.Tensor, *lengths: int) -> None:
    def layers(audio_1S: torch.Tensor) -> list[torch.Tensor]:
        found = model(audio_1S, output_hidden_states=True)
        return [*found.hidden_states, found.last_hidden_state]

    _assert_rows_close(encoder, layers, audio_BS, lengths, first=0)


@torch.no_grad()
def _assert_rows_close(
    encoder: Encoder,
    layers: Callable[[torch.Tensor], list[torch.Tensor]],
    audio_BS: torch.Tensor,
    lengths: Sequence[int],
    first: int,
) -> None:
    """Each row of our batch against theirs alone, from hidden state `first` on: padding changes their GroupNorm."""
    samples_B = torch.tensor(lengths or [audio_BS.shape[1]] * len(audio_BS))
    encoded = encoder.eval()(audio_BS, samples_B)
    for row, samples in enumerate(samples_B.tolist()):
        theirs = layers(audio_BS[row : row + 1, :samples])
        for our_BTD, their_1TD in zip([*encoded.hidden[first:], encoded.output_BTD], theirs, strict=True):
            ours_TD = our_BTD[row, : int(encoded.frames_B[row])]
            torch.testing.assert_close(ours_TD, their_1TD[0], atol=1e-5, rtol=0)
