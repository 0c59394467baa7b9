"""Reads fairseq's HuBERT and wav2vec 2.0 files, and the published WavLM files, which use its names.

The files are pickles, and no code in them is run. Sizes are read from the weights themselves. Strides, heads and the
order of norms are read from the settings beside the weights.

Shapes: C channels, D width, F FFN width.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from torch import Tensor

from raysearch.encoder.config import Block, EncoderConfig, PositionConv, RelativePositions, Waveform
from raysearch.encoder.encoder import Encoder
from raysearch.encoder.imports.keys import Table, build
from raysearch.encoder.imports.pickles import Inert, read_pickle
from raysearch.errors import InputError, quoted
from raysearch.settings import Width, first_fault

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


LAYERS = 64
"""Most convolutions of a front end."""


def conv_layers(given: Any) -> list[tuple[int, int, int]]:
    """Channels, kernel and stride of each convolution, of fairseq's `[(channels, kernel, stride)] * times + ...`.

    fairseq runs this text as code. Here it is parsed, and holds lists, whole numbers, `+` and `*` alone. It may also be
    such a list already.

    Raises: ValueError if it is anything else, or has more than 64 convolutions.
    """
    expected = f"a sum of lists [(channels, kernel, stride)] * times, with at most {LAYERS} convolutions"
    try:
        found = _value(ast.parse(given.strip(), mode="eval").body) if isinstance(given, str) else given
        return [_triple(layer) for layer in found]
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError) as err:
        raise ValueError(f"{quoted(given)}; expected {expected}") from err


def _value(node: ast.expr) -> Any:
    """The list, tuple or whole number that a node stands for. Raises: ValueError or TypeError if it is none."""
    match node:
        case ast.Constant(value=int(number)):
            return number
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_value(item) for item in items]
        case ast.BinOp(left=left, op=ast.Add(), right=right):
            return [*_value(left), *_value(right)]
        case ast.BinOp(left=left, op=ast.Mult(), right=right):
            one, other = _value(left), _value(right)
            times, layers = (one, other) if isinstance(one, int) else (other, one)
            if len(layers) * times > LAYERS:
                raise ValueError("too many layers")
            return layers * times
    raise ValueError("not an expression of lists")


def _triple(layer: Any) -> tuple[int, int, int]:
    channels, kernel, stride = layer
    if not all(type(number) is int and number > 0 for number in (channels, kernel, stride)):
        raise ValueError("no whole numbers above 0")
    return channels, kernel, stride


class ModelSettings(BaseModel):
    """What we need of the settings beside the weights."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)

    encoder_attention_heads: Width
    conv_feature_layers: Annotated[list[tuple[int, int, int]], BeforeValidator(conv_layers)] = Field(max_length=LAYERS)
    extractor_mode: Literal["default", "layer_norm"] = "default"
    activation_fn: Literal["gelu"] = "gelu"
    """Our encoder knows no other activation."""
    layer_norm_first: bool = False
    normalize: bool = False
    max_distance: Width | None = None
    """Only WavLM has it."""


def import_fairseq(file: Path) -> Encoder:
    """Our encoder with the weights in `file`. Heads are left behind.

    Raises: InputError if the file is missing or torn, or is not of one of these models.
    """
    checkpoint = read_pickle(file)
    weights = {_unwrapped(str(key)): tensor for key, tensor in _mapping(checkpoint, "model", file).items()}
    given = _Given(checkpoint)
    try:
        settings = ModelSettings.model_validate(given.all(ModelSettings.model_fields))
    except ValidationError as err:
        raise InputError(f"{file}: {first_fault(err, ModelSettings)} in the settings beside the weights") from err
    try:
        config = _config(_Shapes(weights), settings)
    except KeyError as err:
        raise InputError(f"{file}: missing: {err.args[0]}; expected a HuBERT, wav2vec 2.0 or WavLM encoder") from err
    except ValidationError as err:
        raise InputError(f"{file}: {first_fault(err, EncoderConfig)}") from err
    except ValueError as err:
        raise InputError(f"{file}: {err}") from err
    return build(config, weights, KEYS, file)


def _unwrapped(key: str) -> str:
    wrapper = next((wrapper for wrapper in WRAPPERS if key.startswith(wrapper)), "")
    return key.removeprefix(wrapper)


def _mapping(checkpoint: Mapping[str, Any], key: str, file: Path) -> Mapping[str, Tensor]:
    found = checkpoint.get(key)
    if not isinstance(found, Mapping):
        raise InputError(f"{file}: {key}: missing; expected a file of fairseq with its weights under `model`")
    return found


class _Given:
    """The settings beside the weights, wherever a version of fairseq put them.

    They lie in `args`, `cfg`, `cfg.model` or `cfg.task`. In a fine-tuned model the encoder's lie deeper, in `w2v_args`.
    """

    def __init__(self, checkpoint: Mapping[str, Any]) -> None:
        self._places: list[Mapping[str, Any]] = []
        for name in ("cfg", "args"):
            self._open(checkpoint.get(name), levels=8)

    def _open(self, place: Any, levels: int) -> None:
        document = place if isinstance(place, Mapping) else getattr(place, "__dict__", None)
        if document is None or not levels:
            return
        # A fine-tuned model's own settings say little of the encoder inside it, so inner places are asked first.
        for inner in ("w2v_args", "model", "task"):
            self._open(document.get(inner), levels - 1)
        self._places.append(document)

    def all(self, names: Iterable[str]) -> dict[str, Any]:
        """The settings of these names that are there."""
        found = {name: self._get(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def _get(self, name: str) -> Any:
        for place in self._places:
            value = place.get(name)
            # A member of an enumeration, whose class is not loaded, was made of its value.
            if isinstance(value, Inert) and len(value.args) == 1:
                value = value.args[0]
            # A reference to another setting, which was not resolved when the file was written, says nothing.
            if value is not None and not (isinstance(value, str) and value.startswith("${")):
                return value
        return None


class _Shapes:
    """The shapes of the weights in the file, by their names."""

    def __init__(self, weights: Mapping[str, Any]) -> None:
        self._weights = weights

    def __contains__(self, name: str) -> bool:
        return name in self._weights

    def of(self, name: str, axes: int) -> tuple[int, ...]:
        """The shape of a weight. Raises: KeyError if it is not there, ValueError if it has other axes or none."""
        weight = self._weights[name]
        shape = tuple(weight.shape) if isinstance(weight, Tensor) else ()
        if len(shape) != axes or not prod(shape):
            raise ValueError(f"{name}: {shape or type(weight).__name__}; expected a weight of {axes} axes")
        return shape

    def each(self, name: str, axes: int) -> list[tuple[int, ...]]:
        """The shapes of the layers 0, 1, and so on, as many as there are. Raises: KeyError if there is none."""
        found = [self.of(name.format(i=0), axes)]
        while name.format(i=len(found)) in self:
            found.append(self.of(name.format(i=len(found)), axes))
        return found


def _config(shapes: _Shapes, settings: ModelSettings) -> EncoderConfig:
    """The config of the encoder in the file.

    Raises: KeyError naming a weight that is not there, ValueError if the settings are not those of the weights.
    """
    convs = shapes.each("feature_extractor.conv_layers.{i}.0.weight", 3)
    ups = shapes.each("encoder.layers.{i}.fc1.weight", 2)
    # Weight norm changed its names in torch 2.1.
    new, old = "encoder.pos_conv.0.parametrizations.weight.original1", "encoder.pos_conv.0.weight_v"
    position = shapes.of(old if old in shapes else new, 3)
    width, heads = shapes.of("post_extract_proj.weight", 2)[0], settings.encoder_attention_heads
    layers = settings.conv_feature_layers
    if [layer[:2] for layer in layers] != [(channels, kernel) for channels, _, kernel in convs]:
        raise ValueError(f"conv_feature_layers: {quoted(layers)}; expected the convolutions of the weights")
    if width % heads:
        raise ValueError(f"encoder_attention_heads: {heads}; expected a divisor of the width = {width}")
    relative = None
    if (table := "encoder.layers.0.self_attn.relative_attention_bias.weight") in shapes:
        if settings.max_distance is None:
            raise ValueError("max_distance: missing; expected a value in the settings beside the weights")
        relative = RelativePositions(buckets=shapes.of(table, 2)[0], distance=settings.max_distance, heads=heads)
    return EncoderConfig(
        front_end=Waveform(
            channels=[channels for channels, _, _ in convs],
            kernels=[kernel for _, _, kernel in convs],
            strides=[stride for _, _, stride in layers],
            norm="layer" if settings.extractor_mode == "layer_norm" else "group",
            bias="feature_extractor.conv_layers.0.0.bias" in shapes,
            normalise=settings.normalize,
        ),
        width=width,
        norm="pre" if settings.layer_norm_first else "post",
        position_conv=PositionConv(kernel=position[2], groups=max(1, width // position[1])),
        relative_positions=relative,
        blocks=[Block(heads=heads, head_width=width // heads, ffn=ffn) for ffn, _ in ups],
    )
