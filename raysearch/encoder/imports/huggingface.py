"""Reads and writes model folders of Hugging Face's transformers, without the library itself.

HuBERT, wav2vec 2.0 (XLSR too), WavLM and Whisper are read. HuBERT, WavLM and Whisper are written.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from raysearch.encoder.checkpoint import CONFIG_NAME, WEIGHTS_NAME
from raysearch.encoder.config import SAMPLE_RATE_HZ, Blocks, EncoderConfig, PositionConv, RelativePositions, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.keys import Table, build, exported
from raysearch.encoder.imports.model_folder import (
    MODEL_TYPES,
    PREPROCESSOR_NAME,
    ModelSettings,
    WhisperSettings,
    check_windows,
    equal_blocks,
    normalises,
    read_model,
    read_settings,
)
from raysearch.encoder.imports.whisper import KEYS as WHISPER_KEYS
from raysearch.encoder.imports.whisper import encoder_weights, whisper_config, whisper_document, whisper_reading
from raysearch.errors import InputError
from raysearch.settings import first_fault

KEYS: Table = {
    "feature_extractor.conv_layers.{i}.conv": "front_end.convs.{i}",
    "feature_extractor.conv_layers.{i}.layer_norm": "front_end.norms.{i}",
    "feature_projection.layer_norm": "feature_norm",
    "feature_projection.projection": "projection",
    "encoder.pos_conv_embed.conv": "position_conv.conv",
    "encoder.layer_norm": "norm",
    "encoder.layers.0.attention.rel_attn_embed": "relative_positions.table",
    "encoder.layers.{i}.attention.q_proj": "blocks.{i}.attention.q",
    "encoder.layers.{i}.attention.k_proj": "blocks.{i}.attention.k",
    "encoder.layers.{i}.attention.v_proj": "blocks.{i}.attention.v",
    "encoder.layers.{i}.attention.out_proj": "blocks.{i}.attention.out",
    "encoder.layers.{i}.attention.gru_rel_pos_const": "blocks.{i}.attention.gate.scale_1N11",
    "encoder.layers.{i}.attention.gru_rel_pos_linear": "blocks.{i}.attention.gate.linear",
    "encoder.layers.{i}.layer_norm": "blocks.{i}.attention_norm",
    "encoder.layers.{i}.feed_forward.intermediate_dense": "blocks.{i}.ffn.up",
    "encoder.layers.{i}.feed_forward.output_dense": "blocks.{i}.ffn.down",
    "encoder.layers.{i}.final_layer_norm": "blocks.{i}.ffn_norm",
    # The mask and quantiser of pre-training, and the heads of fine-tuned models, are left behind.
    "masked_spec_embed": None,
    "quantizer": None,
    "project_hid": None,
    "project_q": None,
    "lm_head": None,
    "projector": None,
    "classifier": None,
    "layer_weights": None,
    # The head of a model for speakers (x-vector) has a linear layer that is called as the front end is.
    "feature_extractor.weight": None,
    "feature_extractor.bias": None,
    "tdnn": None,
    "objective": None,
}


def huggingface_config(folder: Path) -> EncoderConfig:
    """The encoder that a folder describes. Its weights are not read, and need not be there yet.

    Raises: InputError if a file is missing, or not of a kind of encoder that we know.
    """
    return _described(folder, read_settings(folder))


def import_huggingface(folder: Path) -> Encoder:
    """Our encoder with the weights in `folder`. Heads are left behind.

    Raises: InputError if a file is missing, torn, or not of a kind of encoder that we know.
    """
    settings = read_settings(folder)
    config = _described(folder, settings)
    file, weights = read_model(folder)
    if isinstance(settings, WhisperSettings):
        return build(config, encoder_weights(weights), WHISPER_KEYS, file)
    # A model with a head keeps its encoder under the name of its type.
    prefix = f"{settings.model_type}."
    return build(config, {str(key).removeprefix(prefix): tensor for key, tensor in weights.items()}, KEYS, file)


def export_huggingface(encoder: Encoder, folder: Path) -> None:
    """Writes the encoder as transformers reads it: as a Whisper, a HuBERT, or a WavLM if it has relative positions.

    Raises: InputError if transformers cannot express it: a log-mel front end of ours, unequal blocks, or heads that do
    not fill the width.
    """
    if encoder.config.front_end.kind == "whisper":
        document, table = whisper_document(encoder.config), WHISPER_KEYS
        reading = whisper_reading(encoder.config)
    else:
        document, table = _document(encoder.config), KEYS
        reading = {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "sampling_rate": SAMPLE_RATE_HZ,
            "feature_size": 1,
            "padding_value": 0.0,
            "do_normalize": document.pop("normalise"),
            "return_attention_mask": document["feat_extract_norm"] == "layer",
        }
    weights: dict[str, Tensor] = {key: tensor.cpu().contiguous() for key, tensor in exported(encoder, table).items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    for name, content in ((CONFIG_NAME, document), (PREPROCESSOR_NAME, reading)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _described(folder: Path, settings: ModelSettings | WhisperSettings) -> EncoderConfig:
    try:
        if isinstance(settings, WhisperSettings):
            check_windows(folder, settings)
            return whisper_config(settings)
        return _config(settings, normalises(folder, settings))
    except ValidationError as err:
        raise InputError(f"{folder / CONFIG_NAME}: {first_fault(err, EncoderConfig)}") from err


def _config(theirs: ModelSettings, normalise: bool) -> EncoderConfig:
    """Our config for the settings of a model of transformers."""
    heads = theirs.num_attention_heads
    relative = None
    if theirs.model_type == "wavlm":
        relative = RelativePositions(buckets=theirs.num_buckets, distance=theirs.max_bucket_distance, heads=heads)
    return EncoderConfig(
        front_end=Waveform(
            channels=theirs.conv_dim,
            kernels=theirs.conv_kernel,
            strides=theirs.conv_stride,
            norm=theirs.feat_extract_norm,
            bias=theirs.conv_bias,
            normalise=normalise,
        ),
        width=theirs.hidden_size,
        norm="pre" if theirs.do_stable_layer_norm else "post",
        position_conv=PositionConv(kernel=theirs.num_conv_pos_embeddings, groups=theirs.num_conv_pos_embedding_groups),
        relative_positions=relative,
        blocks=Blocks(
            count=theirs.num_hidden_layers,
            heads=heads,
            head_width=theirs.hidden_size // heads,
            ffn=theirs.intermediate_size,
        ),
    )


def _document(config: EncoderConfig) -> dict[str, Any]:
    front_end = config.front_end
    if not isinstance(front_end, Waveform):
        raise InputError(f"front_end.kind: {front_end.kind}; expected waveform: transformers has no other")
    first = equal_blocks(config)
    if config.position_conv is None or config.sinusoids or not config.key_bias:
        raise InputError("position_conv, sinusoids or key_bias: not those of HuBERT or WavLM; expected these")
    kind = "wavlm" if config.relative_positions else "hubert"
    document = {
        "architectures": [MODEL_TYPES[kind]],
        "model_type": kind,
        "conv_dim": front_end.channels,
        "conv_kernel": front_end.kernels,
        "conv_stride": front_end.strides,
        "num_feat_extract_layers": len(front_end.channels),
        "feat_extract_norm": front_end.norm,
        "normalise": front_end.normalise,
        "conv_bias": front_end.bias,
        "hidden_size": config.width,
        "do_stable_layer_norm": config.norm == "pre",
        "num_conv_pos_embeddings": config.position_conv.kernel,
        "num_conv_pos_embedding_groups": config.position_conv.groups,
        "num_hidden_layers": config.depth,
        "num_attention_heads": first.heads,
        "intermediate_size": first.ffn,
        # Our encoder has no vector that stands for masked frames. With masking off, transformers does not look for it.
        "mask_time_prob": 0.0,
        "mask_feature_prob": 0.0,
    }
    if config.relative_positions:
        document |= {
            "num_buckets": config.relative_positions.buckets,
            "max_bucket_distance": config.relative_positions.distance,
        }
    return document
