"""The one table of methods: name -> where its class lives, imported on use."""

from __future__ import annotations

from difflib import get_close_matches
from importlib import import_module

from raysearch.errors import InputError
from raysearch.methods.base import Method

METHODS = {
    "hubert": "raysearch.methods.hubert:Hubert",
    "dicehubert": "raysearch.methods.hubert:DiceHubert",
    "distilhubert": "raysearch.methods.distilhubert:DistilHubert",
    "hjpruning": "raysearch.methods.hjpruning:HJPruning",
    "dphubert": "raysearch.methods.hjpruning:DPHubert",
}


def load_method(name: str) -> type[Method]:
    """The class of a method.

    Raises: InputError naming the known methods.
    """
    if name not in METHODS:
        close = get_close_matches(name, METHODS, n=1)
        hint = f" (did you mean {close[0]}?)" if close else ""
        raise InputError(f"method: {name!r}; expected one of {', '.join(METHODS)}{hint}")
    module, _, attribute = METHODS[name].partition(":")
    cls: type[Method] = getattr(import_module(module), attribute)
    return cls
