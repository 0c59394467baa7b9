"""Reads fairseq's HuBERT and wav2vec 2.0 files, and the published WavLM files, which use its names.

The files are pickles, and no code in them is run. Sizes are read from the weights themselves. Strides, heads and the
order of norms are read from the settings beside the weights.

Shapes: C channels, D width, F FFN width.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from raysearch.encoder.config import Block, EncoderConfig, PositionConv, RelativePositions, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.keys import Table, build
from raysearch.encoder.imports.pickles import read_pickle
from raysearch.errors import InputError

CONV = "feature_extractor.conv_layers.{i}"
KEYS: Table = {
    f"{CONV}.0": "front_end.convs.{i}",
    # In Large models a LayerNorm lies between two transpositions. In Base models the first layer's GroupNorm does not.
    f"{CONV}.2.1": "front_end.norms.{i}",
    f"{CONV}.2": "front_end.norms.{i}",
    "layer_norm": "feature_norm",
    "post_extract_proj": "projection",
    "encoder.pos_conv.0": "position_conv.conv",
    "encoder.layer_norm": "norm",
    "encoder.layers.0.self_attn.relative_attention_bias": "relative_positions.table",
    "encoder.layers.{i}.self_attn.q_proj": "blocks.{i}.attention.q",
    "encoder.layers.{i}.self_attn.k_proj": "blocks.{i}.attention.k",
    "encoder.layers.{i}.self_attn.v_proj": "blocks.{i}.attention.v",
    "encoder.layers.{i}.self_attn.out_proj": "blocks.{i}.attention.out",
    "encoder.layers.{i}.self_attn.grep_a": "blocks.{i}.attention.gate.scale_1N11",
    "encoder.layers.{i}.self_attn.grep_linear": "blocks.{i}.attention.gate.linear",
    "encoder.layers.{i}.self_attn_layer_norm": "blocks.{i}.attention_norm",
    "encoder.layers.{i}.fc1": "blocks.{i}.ffn.up",
    "encoder.layers.{i}.fc2": "blocks.{i}.ffn.down",
    "encoder.layers.{i}.final_layer_norm": "blocks.{i}.ffn_norm",
    # The mask, labels and quantiser of pre-training, and the heads of fine-tuned models, are left behind.
    "mask_emb": None,
    "label_embs_concat": None,
    "final_proj": None,
    "quantizer": None,
    "project_q": None,
    "target_glu": None,
    "proj": None,
}
WRAPPERS = ("w2v_encoder.w2v_model.", "w2v_encoder.", "w2v_model.")
"""Prefixes that fine-tuned models put before the encoder's names. Longer ones come first."""


def import_fairseq(file: Path) -> Encoder:
    """Our encoder with the weights in `file`. Heads are left behind.

    Raises: InputError if the file is missing or torn, or is not of one of these models.
    """
    checkpoint = read_pickle(file)
    weights = {_unwrapped(key): tensor for key, tensor in _mapping(checkpoint, "model", file).items()}
    try:
        config = _config(weights, _Settings(checkpoint, file))
    except KeyError as err:
        raise InputError(f"{file}: missing: {err.args[0]}; expected a HuBERT, wav2vec 2.0 or WavLM encoder") from err
    return build(config, weights, KEYS, file)


def _unwrapped(key: str) -> str:
    wrapper = next((wrapper for wrapper in WRAPPERS if key.startswith(wrapper)), "")
    return key.removeprefix(wrapper)


def _mapping(checkpoint: Mapping[str, Any], key: str, file: Path) -> Mapping[str, Tensor]:
    found = checkpoint.get(key)
    if not isinstance(found, Mapping):
        raise InputError(f"{file}: {key}: missing; expected a file of fairseq with its weights under `model`")
    return found


class _Settings:
    """The settings beside the weights, wherever a version of fairseq put them.

    They lie in `args`, `cfg`, `cfg.model` or `cfg.task`. In a fine-tuned model the encoder's lie deeper, in `w2v_args`.
    """

    def __init__(self, checkpoint: Mapping[str, Any], file: Path) -> None:
        self._file = file
        self._places: list[Mapping[str, Any]] = []
        for name in ("cfg", "args"):
            self._open(checkpoint.get(name))

    def _open(self, place: Any) -> None:
        document = place if isinstance(place, Mapping) else getattr(place, "__dict__", None)
        if document is None:
            return
        # A fine-tuned model's own settings say little of the encoder inside it, so inner places are asked first.
        for inner in ("w2v_args", "model", "task"):
            self._open(document.get(inner))
        self._places.append(document)

    def get(self, name: str, *default: Any) -> Any:
        """The setting `name`, or the default. Raises: InputError if there is neither."""
        for place in self._places:
            if place.get(name) is not None:
                return place[name]
        if default:
            return default[0]
        raise InputError(f"{self._file}: {name}: missing; expected it in the settings beside the weights")


def _config(weights: Mapping[str, Tensor], settings: _Settings) -> EncoderConfig:
    """The config of the encoder in the file. Raises: KeyError naming a weight that is not there."""
    convs = _each(weights, "feature_extractor.conv_layers.{i}.0.weight")
    ups = _each(weights, "encoder.layers.{i}.fc1.weight")
    # Weight norm changed its names in torch 2.1.
    position = weights.get("encoder.pos_conv.0.weight_v")
    if position is None:
        position = weights["encoder.pos_conv.0.parametrizations.weight.original1"]
    width, heads = weights["post_extract_proj.weight"].shape[0], settings.get("encoder_attention_heads")
    relative = None
    if "encoder.layers.0.self_attn.relative_attention_bias.weight" in weights:
        buckets = weights["encoder.layers.0.self_attn.relative_attention_bias.weight"].shape[0]
        relative = RelativePositions(buckets=buckets, distance=settings.get("max_distance"), heads=heads)
    return EncoderConfig(
        front_end=Waveform(
            channels=[conv_CCK.shape[0] for conv_CCK in convs],
            kernels=[conv_CCK.shape[2] for conv_CCK in convs],
            strides=strides(settings.get("conv_feature_layers")),
            norm="layer" if settings.get("extractor_mode") == "layer_norm" else "group",
            bias="feature_extractor.conv_layers.0.0.bias" in weights,
            normalise=bool(settings.get("normalize", False)),
        ),
        width=width,
        norm="pre" if settings.get("layer_norm_first", False) else "post",
        position_conv=PositionConv(kernel=position.shape[2], groups=width // position.shape[1]),
        relative_positions=relative,
        blocks=[Block(heads=heads, head_width=width // heads, ffn=up_FD.shape[0]) for up_FD in ups],
    )


def _each(weights: Mapping[str, Tensor], name: str) -> list[Tensor]:
    """The weights of the layers 0, 1, and so on, as many as there are. Raises: KeyError if there is none."""
    found = [weights[name.format(i=0)]]
    while (tensor := weights.get(name.format(i=len(found)))) is not None:
        found.append(tensor)
    return found


def strides(layers: str) -> list[int]:
    """The stride of each convolution in fairseq's text `[(channels, kernel, stride)] * times + ...`.

    fairseq evaluates this text as code. Here it is only searched for numbers.
    """
    found = []
    for group, times in re.findall(r"\[([^\]]*)\]\s*(?:\*\s*(\d+))?", layers):
        triples = re.findall(r"\(\s*\d+\s*,\s*\d+\s*,\s*(\d+)\s*\)", group)
        found += [int(stride) for stride in triples] * int(times or 1)
    return found
