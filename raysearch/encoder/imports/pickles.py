"""Weights out of pickles that others wrote, without running what is in them.

A pickle names functions and calls them. torch's weights-only reader knows those that make tensors; every other name,
say of a class of fairseq's settings, stands for `Inert` here, which only holds what it is given.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from raysearch.errors import InputError

OLDER_NAMES = ("argparse.Namespace", "fairseq.data.dictionary.Dictionary")
"""What files of torch before 1.6, whose names cannot be listed beforehand, may hold besides weights."""


class Inert:
    """In place of any object of a pickle: remembers its attributes, does nothing."""

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None: ...

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key: object, value: object) -> None: ...

    def __hash__(self) -> int:
        return id(self)


def read_pickle(file: Path) -> dict[str, Any]:
    """The mapping in a file that `torch.save` wrote.

    Raises: InputError if the file is missing or torn, or holds more than weights and plain settings.
    """
    try:
        try:
            names = get_unsafe_globals_in_checkpoint(str(file))
        except ValueError:
            names = list(OLDER_NAMES)
        with safe_globals([(Inert, name) for name in names]):
            found = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected a file of torch.save") from err
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError, TypeError) as err:
        reason = str(err).strip().splitlines()[0] if str(err).strip() else type(err).__name__
        raise InputError(f"{file}: {reason}; expected a whole file of torch.save with weights") from err
    if not isinstance(found, dict):
        raise InputError(f"{file}: {type(found).__name__}; expected a mapping with weights")
    return found
