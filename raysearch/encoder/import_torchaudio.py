"""torchaudio's wav2vec 2.0 and HuBERT models, as ours and back. One key table serves both directions."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from raysearch.encoder.checkpoint import check_weights
from raysearch.encoder.config import Block, EncoderConfig, PositionConv, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError

if TYPE_CHECKING:
    from torchaudio.models import Wav2Vec2Model

KEYS = {
    "feature_extractor.conv_layers.{i}.conv": "front_end.convs.{i}",
    "feature_extractor.conv_layers.{i}.layer_norm": "front_end.norms.{i}",
    "encoder.feature_projection.layer_norm": "feature_norm",
    "encoder.feature_projection.projection": "projection",
    "encoder.transformer.pos_conv_embed.conv": "position_conv.conv",
    "encoder.transformer.layer_norm": "norm",
    "encoder.transformer.layers.{i}.attention.q_proj": "blocks.{i}.attention.q",
    "encoder.transformer.layers.{i}.attention.k_proj": "blocks.{i}.attention.k",
    "encoder.transformer.layers.{i}.attention.v_proj": "blocks.{i}.attention.v",
    "encoder.transformer.layers.{i}.attention.out_proj": "blocks.{i}.attention.out",
    "encoder.transformer.layers.{i}.layer_norm": "blocks.{i}.attention_norm",
    "encoder.transformer.layers.{i}.feed_forward.intermediate_dense": "blocks.{i}.ffn.up",
    "encoder.transformer.layers.{i}.feed_forward.output_dense": "blocks.{i}.ffn.down",
    "encoder.transformer.layers.{i}.final_layer_norm": "blocks.{i}.ffn_norm",
    # The letters' head of a fine-tuned model: an encoder has none.
    "aux": None,
}
"""torchaudio's modules and ours; None is dropped on purpose."""

WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
"""Names of a normalised weight's length and direction before torch 2.1, and since."""


def import_torchaudio(model: Wav2Vec2Model) -> Encoder:
    """Our encoder with the weights of a HuBERT or wav2vec 2.0 model; its head, if it has one, is left behind.

    Raises: InputError if the model has weights that our encoder knows no place for (WavLM's relative positions).
    """
    with torch.device("meta"):
        encoder = Encoder(config_of(model))
    weights = {key: tensor.detach().clone() for key, tensor in from_torchaudio(model.state_dict()).items()}
    check_weights(encoder, weights, "torchaudio")
    encoder.load_state_dict(weights, assign=True)
    return encoder


def config_of(model: Wav2Vec2Model) -> EncoderConfig:
    convs = [layer.conv for layer in model.feature_extractor.conv_layers]
    first_norm = model.feature_extractor.conv_layers[0].layer_norm
    transformer = model.encoder.transformer
    return EncoderConfig(
        front_end=Waveform(
            channels=[conv.out_channels for conv in convs],
            kernels=[conv.kernel_size[0] for conv in convs],
            strides=[conv.stride[0] for conv in convs],
            norm="group" if isinstance(first_norm, nn.GroupNorm) else "layer",
            bias=convs[0].bias is not None,
        ),
        width=transformer.pos_conv_embed.embed_dim,
        # torchaudio's flag tells of the norm at the entrance, which goes with norms after the sub-layers.
        norm="post" if transformer.layer_norm_first else "pre",
        position_conv=PositionConv(
            kernel=transformer.pos_conv_embed.kernel_size, groups=transformer.pos_conv_embed.conv.groups
        ),
        blocks=[
            Block(
                heads=layer.attention.num_heads,
                head_width=layer.attention.head_dim,
                ffn=layer.feed_forward.intermediate_dense.out_features,
            )
            for layer in transformer.layers
        ],
    )


def from_torchaudio(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Raises: InputError naming the keys that our encoder knows no place for."""
    return _renamed(weights, KEYS, "torchaudio")


def to_torchaudio(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Raises: InputError naming the keys that torchaudio's models know no place for."""
    return _renamed(weights, {ours: theirs for theirs, ours in KEYS.items() if ours}, "raysearch")


def _renamed(weights: dict[str, Tensor], keys: dict[str, str | None], origin: str) -> dict[str, Tensor]:
    patterns = [(re.compile(re.escape(old).replace(r"\{i\}", r"(\d+)") + r"\.(.+)"), new) for old, new in keys.items()]
    renamed, unknown = {}, []
    for key, tensor in weights.items():
        found = next(((match, new) for pattern, new in patterns if (match := pattern.fullmatch(key))), None)
        if found is None:
            unknown.append(key)
        elif found[1] is not None:
            *layer, leaf = found[0].groups()
            renamed[f"{found[1].format(i=''.join(layer))}.{WEIGHT_NORM.get(leaf, leaf)}"] = tensor
    if unknown:
        raise InputError(f"{origin}: {', '.join(unknown)}; expected the keys of a HuBERT or wav2vec 2.0 encoder")
    return renamed
