"""Turns torchaudio's wav2vec 2.0, HuBERT and WavLM models into encoders of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from raysearch.encoder.config import Block, EncoderConfig, PositionConv, RelativePositions, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.keys import Table, build
from raysearch.encoder.imports.torchaudio_library import load_torchaudio
from raysearch.errors import InputError

if TYPE_CHECKING:
    from torchaudio.models import Wav2Vec2Model

LAYERS = "encoder.transformer.layers.{i}"
KEYS: Table = {
    "feature_extractor.conv_layers.{i}.conv": "front_end.convs.{i}",
    "feature_extractor.conv_layers.{i}.layer_norm": "front_end.norms.{i}",
    "encoder.feature_projection.layer_norm": "feature_norm",
    "encoder.feature_projection.projection": "projection",
    "encoder.transformer.pos_conv_embed.conv": "position_conv.conv",
    "encoder.transformer.layer_norm": "norm",
    "encoder.transformer.layers.0.attention.rel_attn_embed": "relative_positions.table",
    f"{LAYERS}.attention.q_proj": "blocks.{i}.attention.q",
    f"{LAYERS}.attention.k_proj": "blocks.{i}.attention.k",
    f"{LAYERS}.attention.v_proj": "blocks.{i}.attention.v",
    f"{LAYERS}.attention.out_proj": "blocks.{i}.attention.out",
    f"{LAYERS}.attention.gru_rel_pos_const": "blocks.{i}.attention.gate.scale_1N11",
    f"{LAYERS}.attention.gru_rel_pos_linear": "blocks.{i}.attention.gate.linear",
    f"{LAYERS}.layer_norm": "blocks.{i}.attention_norm",
    f"{LAYERS}.feed_forward.intermediate_dense": "blocks.{i}.ffn.up",
    f"{LAYERS}.feed_forward.output_dense": "blocks.{i}.ffn.down",
    f"{LAYERS}.final_layer_norm": "blocks.{i}.ffn_norm",
    # The head of a fine-tuned model, which gives letters, is left behind.
    "aux": None,
}
PROJECTIONS = ("q_proj", "k_proj", "v_proj")
FUSED = re.compile(r"(.+\.attention)\.attention\.in_proj_(weight|bias)")
FUSED_OUT = re.compile(r"(.+\.attention)\.attention\.(out_proj\..+)")


def import_torchaudio(model: Wav2Vec2Model) -> Encoder:
    """Our encoder with the model's weights. Its head, if it has one, is left behind.

    Raises: InputError if the model has weights for which our encoder has no place.
    """
    # A bundle wraps a model that wants normalised audio in another module.
    normalise = bool(getattr(model, "normalize_waveform", False))
    inner = getattr(model, "model", model)
    return build(config_of(inner, normalise), _split(inner.state_dict()), KEYS, "torchaudio")


def import_bundle(name: str) -> Encoder:
    """Our encoder with the weights of a pretrained model of torchaudio, from its cache or downloaded.

    Raises: InputError if torchaudio does not load or has no such bundle, or if its weights can be neither found nor
    downloaded.
    """
    pipelines = load_torchaudio("pipelines")
    bundle = getattr(pipelines, name, None)
    if not isinstance(bundle, pipelines.Wav2Vec2Bundle):
        raise InputError(f"torchaudio:{name}; expected a bundle of torchaudio.pipelines, such as HUBERT_BASE")
    try:
        # A download is a pickle: only weights may be read from it.
        model = bundle.get_model(dl_kwargs={"weights_only": True})
    except OSError as err:
        raise InputError(f"torchaudio:{name}; expected its weights to be cached or downloadable: {err}") from err
    return import_torchaudio(model)


def config_of(model: Wav2Vec2Model, normalise: bool = False) -> EncoderConfig:
    """The config of a model of torchaudio. `normalise` says whether it wants normalised audio."""
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
            normalise=normalise,
        ),
        width=transformer.pos_conv_embed.embed_dim,
        # torchaudio's flag means a norm in front of the first block. Such models have their other norms after the
        # sub-layers.
        norm="post" if transformer.layer_norm_first else "pre",
        position_conv=PositionConv(
            kernel=transformer.pos_conv_embed.kernel_size, groups=transformer.pos_conv_embed.conv.groups
        ),
        relative_positions=_relative_positions(transformer.layers[0].attention),
        blocks=[
            Block(
                heads=layer.attention.num_heads,
                head_width=layer.attention.head_dim,
                ffn=layer.feed_forward.intermediate_dense.out_features,
            )
            for layer in transformer.layers
        ],
    )


def _relative_positions(attention: Any) -> RelativePositions | None:
    if not hasattr(attention, "rel_attn_embed"):
        return None
    return RelativePositions(buckets=attention.num_buckets, distance=attention.max_distance, heads=attention.num_heads)


def _split(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights with WavLM's attention in three projections, which torchaudio keeps in one weight."""
    split = {}
    for key, tensor in weights.items():
        if match := FUSED.fullmatch(key):
            for name, part in zip(PROJECTIONS, tensor.chunk(3), strict=True):
                split[f"{match[1]}.{name}.{match[2]}"] = part
        elif match := FUSED_OUT.fullmatch(key):
            split[f"{match[1]}.{match[2]}"] = tensor
        else:
            split[key] = tensor
    return split
