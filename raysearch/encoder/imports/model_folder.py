"""Reads what lies in a model folder of Hugging Face: its settings, how it wants recordings, and its weights.

A folder holds `config.json`, and the weights in one file or in shards: `model.safetensors`, or else
`pytorch_model.bin`.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from torch import Tensor

from raysearch.encoder.checkpoint import CONFIG_NAME, WEIGHTS_NAME, listed, read_weights
from raysearch.encoder.config import SAMPLE_RATE_HZ, Block, EncoderConfig
from raysearch.encoder.imports.pickles import read_pickle
from raysearch.errors import InputError, quoted
from raysearch.files.stand_ins import refuse_stand_in
from raysearch.settings import Depth, Width, first_fault

PICKLE_NAME, PREPROCESSOR_NAME, PROCESSOR_NAME = (
    "pytorch_model.bin",
    "preprocessor_config.json",
    "processor_config.json",
)
MODEL_TYPES = {
    "hubert": "HubertModel",
    "wav2vec2": "Wav2Vec2Model",
    "wavlm": "WavLMModel",
    "whisper": "WhisperModel",
}
"""The kinds of model that we read, each with its class in transformers."""
FIXED = {
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "layer_norm_eps": 1e-5,
    "feat_proj_layer_norm": True,
    "conv_pos_batch_norm": False,
    "add_adapter": False,
    "adapter_attn_dim": None,
}
"""Settings for which our encoder knows one value only. Every published model but Whisper has that value."""
MEANT_BY = {
    "adapter_attn_dim": ": adapters in the blocks, one set a language as in MMS, are not read",
    "add_adapter": ": convolutions behind the encoder are not read",
}
"""What some of these settings mean, for whoever has a model with them."""
WHISPER_FIXED = {"activation_function": "gelu", "scale_embedding": False}
"""The same of Whisper, whose settings have other names."""
WHISPER_WINDOWS = {"n_fft": 400, "hop_length": 160}
"""Settings of Whisper's feature extractor for which our encoder knows one value only."""


class ModelSettings(BaseModel):
    """What we need of `config.json`. What it leaves out has the library's default, that of Base models."""

    # "2" for 2 would be a file that no version of transformers wrote.
    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    model_type: str
    hidden_size: Width = 768
    num_hidden_layers: Depth = 12
    num_attention_heads: Width = 12
    intermediate_size: Width = 3072
    conv_dim: list[Width] = Field([512] * 7, min_length=1, max_length=64)
    conv_kernel: list[Width] = Field([10, 3, 3, 3, 3, 2, 2], min_length=1, max_length=64)
    conv_stride: list[Width] = Field([5, 2, 2, 2, 2, 2, 2], min_length=1, max_length=64)
    conv_bias: bool = False
    feat_extract_norm: Literal["group", "layer"] = "group"
    do_stable_layer_norm: bool = False
    num_conv_pos_embeddings: Width = 128
    num_conv_pos_embedding_groups: Width = 16
    num_buckets: Width = 320
    max_bucket_distance: Width = 800

    @model_validator(mode="after")
    def _divisible(self) -> ModelSettings:
        for key in ("num_attention_heads", "num_conv_pos_embedding_groups"):
            if self.hidden_size % (divisor := getattr(self, key)):
                raise ValueError(f"{key}: {divisor}; expected a divisor of hidden_size = {self.hidden_size}")
        return self


class WhisperSettings(BaseModel):
    """What we need of a Whisper's `config.json`. What it leaves out has the library's default, that of Whisper tiny."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    d_model: Width = 384
    encoder_layers: Depth = 4
    encoder_attention_heads: Width = 6
    encoder_ffn_dim: Width = 1536
    num_mel_bins: Width = 80
    max_source_positions: Width = 1500

    @model_validator(mode="after")
    def _divisible(self) -> WhisperSettings:
        if self.d_model % self.encoder_attention_heads:
            heads = self.encoder_attention_heads
            raise ValueError(f"encoder_attention_heads: {heads}; expected a divisor of d_model = {self.d_model}")
        return self


def read_settings(folder: Path) -> ModelSettings | WhisperSettings:
    """The settings of the folder's model.

    Raises: InputError if there are none, or they are of another model than ours, or of no value that we know.
    """
    file = folder / CONFIG_NAME
    document = _read_json(file)
    kind = document.get("model_type")
    if not isinstance(kind, str) or kind not in MODEL_TYPES:
        raise InputError(f"{file}: model_type: {quoted(kind)}; expected one of {', '.join(MODEL_TYPES)}")
    for key, value in (WHISPER_FIXED if kind == "whisper" else FIXED).items():
        if document.get(key, value) != value:
            raise InputError(f"{file}: {key}: {quoted(document[key])}; expected {value!r}{MEANT_BY.get(key, '')}")
    model: type[ModelSettings | WhisperSettings] = WhisperSettings if kind == "whisper" else ModelSettings
    try:
        return model.model_validate(document)
    except ValidationError as err:
        raise InputError(f"{file}: {first_fault(err, model)}") from err


def normalises(folder: Path, settings: ModelSettings) -> bool:
    """Whether recordings are normalised. The folder's feature extractor says so, if there is one.

    Without one it is as in the published models: only those with LayerNorms in the front end want it.
    Raises: InputError if the model wants recordings at another rate than ours.
    """
    file, prefix, extractor = _extractor(folder)
    _check_rate(file, prefix, extractor)
    layer_norms = settings.feat_extract_norm == "layer"
    normalise = extractor.get("do_normalize", True) if file else layer_norms
    if not isinstance(normalise, bool):
        raise InputError(f"{file}: {prefix}do_normalize: {quoted(normalise)}; expected true or false")
    return normalise


def check_windows(folder: Path, settings: WhisperSettings) -> None:
    """Checks that a Whisper hears recordings as ours does, if the folder says how.

    Raises: InputError if its rate, windows or number of mel bins are others.
    """
    file, prefix, extractor = _extractor(folder)
    _check_rate(file, prefix, extractor)
    for key, expected in {**WHISPER_WINDOWS, "feature_size": settings.num_mel_bins}.items():
        if extractor.get(key, expected) != expected:
            raise InputError(f"{file}: {prefix}{key}: {quoted(extractor[key])}; expected {expected}")


def _check_rate(file: Path | None, prefix: str, extractor: dict[str, Any]) -> None:
    rate = extractor.get("sampling_rate", SAMPLE_RATE_HZ)
    if rate != SAMPLE_RATE_HZ:
        raise InputError(f"{file}: {prefix}sampling_rate: {quoted(rate)} Hz; expected {SAMPLE_RATE_HZ} Hz")


def _extractor(folder: Path) -> tuple[Path | None, str, dict[str, Any]]:
    """The settings of the feature extractor, with their file and what stands before their keys there.

    Newer versions of transformers put them into the file of the processor, and read them there first.
    """
    file = folder / PROCESSOR_NAME
    nested = _read_json(file).get("feature_extractor") if file.exists() else None
    if isinstance(nested, dict):
        return file, "feature_extractor.", nested
    if nested is not None:
        raise InputError(f"{file}: feature_extractor: {quoted(nested)}; expected a mapping")
    file = folder / PREPROCESSOR_NAME
    return (file, "", _read_json(file)) if file.exists() else (None, "", {})


def equal_blocks(config: EncoderConfig) -> Block:
    """The block that all blocks of an encoder are like.

    Raises: InputError if they differ, or lack heads or units, or if the encoder has what transformers cannot express.
    """
    first, *others = config.block_list
    if any(block != first for block in others) or first.heads * first.head_width != config.width or not first.ffn:
        raise InputError("blocks: of unequal or reduced sizes; expected equal blocks whose heads fill the width")
    if config.time_reduction or not config.projection:
        raise InputError("encoder: projection: false, or time_reduction; expected neither: transformers has neither")
    return first


def read_model(folder: Path) -> tuple[Path, dict[str, Any]]:
    """The file of the folder's weights, or of the list of their shards, and the weights by name.

    Raises: InputError if there are none, or a file is missing, torn, or not what its name says.
    """
    readers: dict[str, Callable[[Path], dict[str, Any]]] = {WEIGHTS_NAME: read_weights, PICKLE_NAME: read_pickle}
    for name, read in readers.items():
        file, index = folder / name, folder / f"{name}.index.json"
        if file.exists():
            return file, read(file)
        if index.exists():
            return index, _joined(index, read)
    known = ", ".join(name for one in readers for name in (one, f"{one}.index.json"))
    raise InputError(f"{folder}: no weights; expected one of {known}")


def _joined(index: Path, read: Callable[[Path], dict[str, Tensor]]) -> dict[str, Tensor]:
    """The weights of all shards that an index lists. Each weight must be in its shard, and in no other."""
    shards = _read_json(index).get("weight_map")
    if not isinstance(shards, dict) or not shards or not all(isinstance(name, str) for name in shards.values()):
        raise InputError(f"{index}: weight_map: {quoted(shards)}; expected the name of a file for each weight")
    joined: dict[str, Tensor] = {}
    for name in sorted(set(shards.values())):
        if Path(name).name != name:
            raise InputError(f"{index}: {quoted(name)}; expected the name of a file beside it")
        file = index.parent / name
        if not file.is_file():
            raise InputError(f"{file}: no such file; expected the shard that {index.name} names")
        weights = read(file)
        if missing := {key for key, shard in shards.items() if shard == name} - weights.keys():
            raise InputError(f"{file}: missing: {listed(missing)}; expected the weights that {index.name} names")
        if twice := joined.keys() & weights.keys():
            raise InputError(f"{file}: {listed(twice)}: in another shard too; expected each weight once")
        joined |= weights
    return joined


def _read_json(file: Path) -> dict[str, Any]:
    refuse_stand_in(file)
    try:
        document = json.loads(file.read_bytes())
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected a folder with {CONFIG_NAME} and {WEIGHTS_NAME}") from err
    except (ValueError, RecursionError) as err:
        raise InputError(f"{file}: {err}; expected JSON") from err
    if not isinstance(document, dict):
        raise InputError(f"{file}: {type(document).__name__}; expected a mapping")
    return document
