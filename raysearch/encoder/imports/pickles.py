"""Reads weights out of pickles that others wrote, without running what is in them.

A pickle names functions and has them called. torch's weights-only reader allows those that make tensors. Every other
name, say of a class of fairseq's settings, is replaced by `Inert`, which only holds what it is given.
"""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import torch
from torch.serialization import get_unsafe_globals_in_checkpoint, safe_globals

from raysearch.errors import InputError, clipped
from raysearch.files.stand_ins import refuse_stand_in

OLDER_NAMES = ("argparse.Namespace", "fairseq.data.dictionary.Dictionary")
"""Names that a file written by torch before 1.6 may hold besides weights. The names in such a file cannot be listed
before it is read."""


class Inert:
    """An object that stands for any object of a pickle. It remembers what it was given and does nothing."""

    args: tuple[object, ...] = ()
    """What the object was made of: of a member of an enumeration that is its value."""

    def __new__(cls, *args: object, **kwargs: object) -> Inert:
        return super().__new__(cls)

    def __init__(self, *args: object, **kwargs: object) -> None:
        self.args = args

    def __setstate__(self, state: object) -> None:
        if isinstance(state, dict):
            self.__dict__.update(state)

    def __setitem__(self, key: object, value: object) -> None: ...

    # Pickles may use such objects as keys of a dict.
    def __hash__(self) -> int:
        return id(self)


def read_pickle(file: Path) -> dict[str, Any]:
    """The mapping in a file that `torch.save` wrote.

    Raises: InputError if the file is missing or torn, is another one, or holds more than weights and plain settings.
    """
    refuse_stand_in(file)
    try:
        try:
            names = get_unsafe_globals_in_checkpoint(str(file))
        except ValueError:  # a file of torch before 1.6
            names = list(OLDER_NAMES)
        with safe_globals([(Inert, name) for name in names]), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of an unusual protocol, with which torch can do nothing or all
            found = torch.load(file, map_location="cpu", weights_only=True)
    except OSError as err:
        raise InputError(f"{file}: {err.strerror}; expected a file of torch.save") from err
    except pickle.UnpicklingError as err:
        # torch's own text advises to read the file in the way that runs what is in it.
        reason = "names a function" if "GLOBAL" in str(err) else "not written by torch.save"
        raise InputError(f"{file}: {reason}; expected a whole file of torch.save with weights alone") from err
    except (RuntimeError, EOFError, ValueError, LookupError, AttributeError, TypeError) as err:
        reason = clipped(str(err).strip().splitlines()[0]) if str(err).strip() else type(err).__name__
        raise InputError(f"{file}: {reason}; expected a whole file of torch.save with weights") from err
    if not isinstance(found, dict):
        raise InputError(f"{file}: {type(found).__name__}; expected a mapping with weights")
    return found
