"""Renames weights from another library's names to ours and back. One table of modules serves both directions."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from raysearch.encoder.build import bare_encoder
from raysearch.encoder.checkpoint import check_finite, check_weights, listed
from raysearch.encoder.config import EncoderConfig
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError

Table = Mapping[str, str | None]
"""Names of modules or weights in the other library, each with our name. `{i}` stands for a layer's number. None marks
what is dropped on purpose."""

WEIGHT_NORM = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
"""Names of a normalised weight's length and direction in torch before version 2.1, each with its name since."""
# This buffer tells which head of the unsliced encoder each head was. Published encoders are not sliced and have none.
ORDER = re.compile(r"blocks\.\d+\.attention\.gate\.of_N")


def build(config: EncoderConfig, weights: Mapping[str, Tensor], table: Table, origin: Path | str) -> Encoder:
    """Our encoder with a copy of another library's weights in fp32.

    Raises: InputError naming `origin` and the keys that are missing, unknown or of a wrong shape, or hold no numbers.
    """
    found = renamed(weights, table, origin)
    ours = {key: tensor.detach().clone().float() for key, tensor in found.items() if _of_numbers(tensor)}
    if others := found.keys() - ours.keys():
        names = listed(renamed({key: found[key] for key in others}, inverted(table), origin))
        raise InputError(f"{origin}: {names}: no tensor of floating-point numbers; expected one")
    check_finite(renamed(ours, inverted(table), origin), origin)
    encoder = bare_encoder(config)
    expected = encoder.state_dict()
    ours |= {key: torch.arange(len(tensor)) for key, tensor in expected.items() if ORDER.fullmatch(key)}
    # Users know the other library's names, so missing weights are told by those.
    missing = {key: tensor for key, tensor in expected.items() if key not in ours}
    if missing:
        theirs = renamed(missing, inverted(table), origin)
        raise InputError(f"{origin}: missing: {listed(theirs)}; expected the weights that its config describes")
    check_weights(encoder, ours, origin)
    encoder.load_state_dict(ours, assign=True)
    return encoder


def _of_numbers(weight: object) -> bool:
    return isinstance(weight, Tensor) and weight.is_floating_point()


def exported(encoder: Encoder, table: Table) -> dict[str, Tensor]:
    """The encoder's weights under the other library's names.

    Raises: InputError naming the keys for which the other library has no place.
    """
    weights = encoder.state_dict()
    for key in [key for key in weights if ORDER.fullmatch(key)]:
        order_N = weights.pop(key)
        if order_N.tolist() != list(range(len(order_N))):
            raise InputError(f"{key}: a sliced encoder; expected one that has all its heads")
    return renamed(weights, inverted(table), "raysearch")


def inverted(table: Table) -> Table:
    """The table for the way back, from our names to theirs."""
    return {ours: theirs for theirs, ours in table.items() if ours}


def renamed(weights: Mapping[str, Tensor], table: Table, origin: Path | str) -> dict[str, Tensor]:
    """The weights under the names that the table gives them.

    Raises: InputError naming the keys that are not in the table.
    """
    patterns = [
        (re.compile(re.escape(old).replace(r"\{i\}", r"(?P<i>\d+)") + r"(?:\.(?P<leaf>.+))?"), new)
        for old, new in table.items()
    ]
    found, unknown = {}, []
    for key, tensor in weights.items():
        match, new = next(((m, new) for pattern, new in patterns if (m := pattern.fullmatch(key))), (None, None))
        if match is None:
            unknown.append(key)
        elif new is not None:
            groups = match.groupdict()
            leaf = groups["leaf"]
            name = new.format(i=groups.get("i"))
            full = f"{name}.{WEIGHT_NORM.get(leaf, leaf)}" if leaf else name
            if full in found:
                raise InputError(f"{origin}: {key}: twice, under two names; expected each weight once")
            found[full] = tensor
    if unknown:
        expected = "the keys of a HuBERT, wav2vec 2.0, WavLM or Whisper encoder"
        raise InputError(f"{origin}: unexpected: {listed(unknown)}; expected {expected}")
    return found
