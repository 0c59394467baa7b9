"""The encoder of a Whisper model in a folder of Hugging Face's transformers. Its decoder is left behind."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raysearch.encoder.config import SAMPLE_RATE_HZ, Blocks, EncoderConfig, Whisper
from raysearch.encoder.frames import MEL_HOP_SAMPLES, MEL_WINDOW_SAMPLES
from raysearch.encoder.imports.keys import Table
from raysearch.encoder.imports.model_folder import WhisperSettings, equal_blocks
from raysearch.errors import InputError

KEYS: Table = {
    "encoder.conv1": "front_end.convs.0",
    "encoder.conv2": "front_end.convs.1",
    "encoder.embed_positions.weight": "sinusoids_TD",
    "encoder.layer_norm": "norm",
    "encoder.layers.{i}.self_attn.q_proj": "blocks.{i}.attention.q",
    "encoder.layers.{i}.self_attn.k_proj": "blocks.{i}.attention.k",
    "encoder.layers.{i}.self_attn.v_proj": "blocks.{i}.attention.v",
    "encoder.layers.{i}.self_attn.out_proj": "blocks.{i}.attention.out",
    "encoder.layers.{i}.self_attn_layer_norm": "blocks.{i}.attention_norm",
    "encoder.layers.{i}.fc1": "blocks.{i}.ffn.up",
    "encoder.layers.{i}.fc2": "blocks.{i}.ffn.down",
    "encoder.layers.{i}.final_layer_norm": "blocks.{i}.ffn_norm",
}
LEFT_BEHIND = ("decoder.", "proj_out.", "projector.", "classifier.", "layer_weights")
"""Beginnings of the names of what is no part of the encoder."""


def encoder_weights(weights: Mapping[str, Any]) -> dict[str, Any]:
    """The encoder's weights as `encoder.NAME`, whichever of transformers' Whisper classes saved them."""
    bare = {key.removeprefix("model."): tensor for key, tensor in weights.items()}
    kept = {key: tensor for key, tensor in bare.items() if not key.startswith(LEFT_BEHIND)}
    # An encoder that was saved alone has no prefix.
    return {key if key.startswith("encoder.") else f"encoder.{key}": tensor for key, tensor in kept.items()}


def whisper_config(theirs: WhisperSettings) -> EncoderConfig:
    """Our config for the settings of a Whisper of transformers."""
    width, heads = theirs.d_model, theirs.encoder_attention_heads
    return EncoderConfig(
        front_end=Whisper(bins=theirs.num_mel_bins, channels=[width, width]),
        width=width,
        norm="pre",
        position_conv=None,
        sinusoids=theirs.max_source_positions,
        key_bias=False,
        blocks=Blocks(count=theirs.encoder_layers, heads=heads, head_width=width // heads, ffn=theirs.encoder_ffn_dim),
    )


def whisper_document(config: EncoderConfig) -> dict[str, Any]:
    """The document with which transformers loads the encoder as a `WhisperEncoder`.

    Raises: InputError if transformers cannot express it: convolutions or blocks of other sizes than the width gives.
    """
    front_end = config.front_end
    assert isinstance(front_end, Whisper)
    if front_end != Whisper(bins=front_end.bins, channels=[config.width] * 2):
        raise InputError("front_end: sliced or of other strides; expected both convolutions as wide as the encoder")
    first = equal_blocks(config)
    if config.norm != "pre" or config.position_conv or config.relative_positions or config.key_bias:
        raise InputError("norm, positions or key_bias: not those of Whisper; expected an encoder that began as one")
    return {
        "architectures": ["WhisperModel"],
        "model_type": "whisper",
        "activation_function": "gelu",
        "scale_embedding": False,
        "d_model": config.width,
        "encoder_layers": config.depth,
        "encoder_attention_heads": first.heads,
        "encoder_ffn_dim": first.ffn,
        "num_mel_bins": front_end.bins,
        "max_source_positions": config.sinusoids,
        # There is no decoder. Its smallest form stands here, because transformers builds one with the encoder.
        "decoder_layers": 0,
        "decoder_attention_heads": first.heads,
        "decoder_ffn_dim": first.ffn,
    }


def whisper_reading(config: EncoderConfig) -> dict[str, Any]:
    """How transformers is to read recordings for the encoder."""
    front_end = config.front_end
    assert isinstance(front_end, Whisper)
    assert config.sinusoids is not None
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "feature_size": front_end.bins,
        "sampling_rate": SAMPLE_RATE_HZ,
        "n_fft": MEL_WINDOW_SAMPLES,
        "hop_length": MEL_HOP_SAMPLES,
        "chunk_length": config.sinusoids * config.hop_samples // SAMPLE_RATE_HZ,
        "padding_value": 0.0,
        "return_attention_mask": False,
    }
