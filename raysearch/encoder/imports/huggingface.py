"""Reads and writes model folders of Hugging Face's transformers, without the library itself.

A folder holds `config.json` beside `model.safetensors` or `pytorch_model.bin`. HuBERT, wav2vec 2.0 (XLSR too), WavLM
and Whisper are read. HuBERT, WavLM and Whisper are written.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor

from raysearch.encoder.checkpoint import CONFIG_NAME, WEIGHTS_NAME, read_weights
from raysearch.encoder.config import SAMPLE_RATE_HZ, Blocks, EncoderConfig, PositionConv, RelativePositions, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports import whisper
from raysearch.encoder.imports.keys import Table, build, exported
from raysearch.encoder.imports.pickles import read_pickle
from raysearch.errors import InputError
from raysearch.settings import first_fault

PICKLE_NAME, PREPROCESSOR_NAME = "pytorch_model.bin", "preprocessor_config.json"
MODEL_TYPES = {"hubert": "HubertModel", "wav2vec2": "Wav2Vec2Model", "wavlm": "WavLMModel", "whisper": "WhisperModel"}
FIXED = {
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
    "add_adapter": False,
    "adapter_attn_dim": None,
}
"""Settings for which our encoder knows one value only. Every published model of these types has that value."""
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
}


def import_huggingface(folder: Path) -> Encoder:
    """Our encoder with the weights in `folder`. Heads are left behind.

    Raises: InputError if a file is missing, torn, or not of one of the three kinds of encoder.
    """
    document = _read_document(folder / CONFIG_NAME)
    kind = document.get("model_type")
    if kind not in MODEL_TYPES:
        raise InputError(f"{folder / CONFIG_NAME}: model_type: {kind!r}; expected one of {', '.join(MODEL_TYPES)}")
    for key, value in (whisper.FIXED if kind == "whisper" else FIXED).items():
        if document.get(key, value) != value:
            raise InputError(f"{folder / CONFIG_NAME}: {key}: {document[key]!r}; expected {value!r}")
    file = folder / WEIGHTS_NAME
    if file.exists() or not (folder / PICKLE_NAME).exists():
        weights = read_weights(file)
    else:
        file = folder / PICKLE_NAME
        weights = read_pickle(file)
    try:
        if kind == "whisper":
            return build(whisper.whisper_config(document), whisper.encoder_weights(weights), whisper.KEYS, file)
        config = _config(document, _normalises(folder, document))
    except ValidationError as err:
        raise InputError(f"{folder / CONFIG_NAME}: {first_fault(err, EncoderConfig)}") from err
    # A model with a head keeps its encoder under the name of its type.
    return build(config, {key.removeprefix(f"{kind}."): tensor for key, tensor in weights.items()}, KEYS, file)


def export_huggingface(encoder: Encoder, folder: Path) -> None:
    """Writes the encoder as transformers reads it: as a WavLM if it has relative positions, else as a HuBERT.

    Raises: InputError if transformers cannot express it: a log-mel front end, unequal blocks, or heads that do not fill
    the width.
    """
    document = _document(encoder.config)
    weights: dict[str, Tensor] = {key: tensor.cpu().contiguous() for key, tensor in exported(encoder, KEYS).items()}
    reading = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "sampling_rate": SAMPLE_RATE_HZ,
        "feature_size": 1,
        "padding_value": 0.0,
        "do_normalize": document.pop("normalise"),
        "return_attention_mask": document["feat_extract_norm"] == "layer",
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(weights, folder / WEIGHTS_NAME, metadata={"format": "pt"})
    for name, content in ((CONFIG_NAME, document), (PREPROCESSOR_NAME, reading)):
        (folder / name).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _read_document(file: Path) -> dict[str, Any]:
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected a folder with {CONFIG_NAME} and {WEIGHTS_NAME}") from err
    except ValueError as err:
        raise InputError(f"{file}: {err}; expected JSON") from err
    if not isinstance(document, dict):
        raise InputError(f"{file}: {type(document).__name__}; expected a mapping")
    return document


def _normalises(folder: Path, document: Mapping[str, Any]) -> bool:
    """Whether recordings are normalised. The folder's feature extractor says so, if there is one.

    Without one it is as in the published models: only those with LayerNorms in the front end want it.
    """
    layer = document.get("feat_extract_norm") == "layer"
    file = folder / PREPROCESSOR_NAME
    return bool(_read_document(file).get("do_normalize", True)) if file.exists() else layer


def _config(document: Mapping[str, Any], normalise: bool) -> EncoderConfig:
    """Our config for a document of transformers. What it leaves out has the library's default, that of Base models."""
    base = EncoderConfig(front_end=Waveform(), width=768, blocks=Blocks(count=12, heads=12, head_width=64, ffn=3072))
    front_end = Waveform()
    width = document.get("hidden_size", base.width)
    heads = document.get("num_attention_heads", 12)
    relative = None
    if document["model_type"] == "wavlm":
        relative = RelativePositions(
            buckets=document.get("num_buckets", 320), distance=document.get("max_bucket_distance", 800), heads=heads
        )
    return EncoderConfig(
        front_end=Waveform(
            channels=list(document.get("conv_dim", front_end.channels)),
            kernels=list(document.get("conv_kernel", front_end.kernels)),
            strides=list(document.get("conv_stride", front_end.strides)),
            norm=document.get("feat_extract_norm", "group"),
            bias=document.get("conv_bias", False),
            normalise=normalise,
        ),
        width=width,
        norm="pre" if document.get("do_stable_layer_norm", False) else "post",
        position_conv=PositionConv(
            kernel=document.get("num_conv_pos_embeddings", 128),
            groups=document.get("num_conv_pos_embedding_groups", 16),
        ),
        relative_positions=relative,
        blocks=Blocks(
            count=document.get("num_hidden_layers", 12),
            heads=heads,
            head_width=width // heads,
            ffn=document.get("intermediate_size", 3072),
        ),
    )


def _document(config: EncoderConfig) -> dict[str, Any]:
    front_end, blocks = config.front_end, config.block_list
    first = blocks[0]
    if not isinstance(front_end, Waveform):
        raise InputError(f"front_end.kind: {front_end.kind}; expected waveform: transformers has no other")
    if any(block != first for block in blocks) or first.heads * first.head_width != config.width or not first.ffn:
        raise InputError("blocks: of unequal or reduced sizes; expected equal blocks whose heads fill the width")
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
        "num_hidden_layers": len(blocks),
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
