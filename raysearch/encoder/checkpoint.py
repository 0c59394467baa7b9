"""An encoder on disk: `config.json` beside `model.safetensors`. Pickles are neither written nor read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from raysearch.encoder.build import bare_encoder
from raysearch.encoder.document import read_config
from raysearch.encoder.encoder import Encoder
from raysearch.errors import InputError
from raysearch.files.stand_ins import refuse_stand_in
from raysearch.files.whole import whole_file

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
KEYS_SHOWN = 8


def save_encoder(encoder: Encoder, folder: Path | str) -> None:
    """Writes the config and the weights into `folder`. Each of the two files is replaced whole or not at all."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    weights = {key: tensor.detach().cpu().contiguous() for key, tensor in encoder.state_dict().items()}
    # Both files are written before either takes its place, and the config takes its place last: a reader who finds a
    # new config finds the weights that belong to it.
    with whole_file(folder / CONFIG_NAME) as document, whole_file(folder / WEIGHTS_NAME) as part:
        save_file(weights, part, metadata={"format": "pt"})
        document.write_text(encoder.config.model_dump_json(indent=2) + "\n", encoding="utf-8")


def load_encoder(folder: Path | str, device: torch.device | str = "cpu") -> Encoder:
    """The encoder that `save_encoder` wrote into `folder`.

    Raises: InputError if a file is missing or unreadable, or if the weights are not those of the config.
    """
    config = read_config(Path(folder, CONFIG_NAME))
    encoder = bare_encoder(config)
    file = Path(folder, WEIGHTS_NAME)
    weights = read_weights(file)
    check_weights(encoder, weights, file)
    encoder.load_state_dict(weights, assign=True)
    return encoder.to(device)


def check_weights(encoder: Encoder, weights: dict[str, Tensor], file: Path | str) -> None:
    """Compares `weights` with what the encoder expects.

    Raises: InputError, naming keys, unless `weights` has the encoder's keys and shapes exactly.
    """
    expected = encoder.state_dict()
    shapes = [
        f"{key} {tuple(weights[key].shape)} for {tuple(tensor.shape)}"
        for key, tensor in expected.items()
        if key in weights and weights[key].shape != tensor.shape
    ]
    faults = {
        "missing": expected.keys() - weights.keys(),
        "unexpected": weights.keys() - expected.keys(),
        "wrong shape": shapes,
    }
    found = "; ".join(f"{name}: {listed(keys)}" for name, keys in faults.items() if keys)
    if found:
        raise InputError(f"{file}: {found}; expected the weights that the config describes")


def check_finite(weights: Mapping[str, Tensor], file: Path | str) -> None:
    """Refuses the weights of a training that diverged. Raises: InputError that names those which are not finite."""
    broken = [key for key, tensor in weights.items() if not torch.isfinite(tensor).all()]
    if broken:
        raise InputError(f"{file}: {listed(broken)}: NaN or infinite; expected finite weights")


def read_weights(file: Path) -> dict[str, Tensor]:
    """The tensors in a safetensors file, by name.

    Raises: InputError if the file is missing, is not whole or is not a safetensors file.
    """
    refuse_stand_in(file)
    if not file.is_file():
        others = sorted(p.name for p in file.parent.glob("*") if p.suffix in {".pt", ".pth", ".bin", ".ckpt", ".pkl"})
        aside = f" ({', '.join(others)}: pickles are not loaded)" if others else ""
        raise InputError(f"{file}: no such file{aside}; expected a safetensors file")
    try:
        return load_file(file)
    except OSError as err:
        raise InputError(f"{file}: {err.strerror or err}; expected a safetensors file") from err
    except SafetensorError as err:
        raise InputError(f"{file}: {err}; expected a safetensors file") from err


def listed(keys: Iterable[str]) -> str:
    """The first keys in alphabetical order for a message, and how many more there are."""
    ordered = sorted(keys)
    more = f" and {len(ordered) - KEYS_SHOWN} more" if len(ordered) > KEYS_SHOWN else ""
    return ", ".join(ordered[:KEYS_SHOWN]) + more
