"""The table of all methods. It says where the class of each lives, which is imported only when it is used."""

from __future__ import annotations

import re
from importlib import import_module

from pydantic import BaseModel

from raysearch.errors import InputError, clipped, did_you_mean, quoted
from raysearch.methods.method import Method

METHODS = {
    "hubert": "raysearch.methods.labels.hubert:Hubert",
    "dicehubert": "raysearch.methods.labels.hubert:DiceHubert",
    "fasthubert": "raysearch.methods.labels.hubert:FastHubert",
    "distilhubert": "raysearch.methods.features.distilhubert:DistilHubert",
    "armhubert": "raysearch.methods.layerwise.methods:ArmHubert",
    "starhubert": "raysearch.methods.layerwise.methods:StarHubert",
    "hjpruning": "raysearch.methods.pruning.hjpruning:HJPruning",
    "dphubert": "raysearch.methods.pruning.hjpruning:DPHubert",
    "oskdft": "raysearch.methods.speaker.oskdft:Oskdft",
    "kd-then-ft": "raysearch.methods.speaker.oskdft:KdThenFt",
    "ft-only": "raysearch.methods.speaker.oskdft:FtOnly",
    "supernet": "raysearch.methods.supernet.supernet:Supernet",
    "unfused": "raysearch.methods.unfused.unfused:Unfused",
}


def load_method(name: str) -> type[Method]:
    """The class of a method of the table, or of one that lives elsewhere: `package.module:Class`.

    Raises: InputError naming the known methods.
    """
    if ":" in name:
        return _imported(name)
    if name not in METHODS:
        raise InputError(f"method: {quoted(name)}; expected one of {', '.join(METHODS)}{did_you_mean(name, METHODS)}")
    return _imported(METHODS[name])


def _imported(path: str) -> type[Method]:
    match = re.fullmatch(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*):([^\W\d]\w*)", path)
    if match is None:
        raise InputError(f"method: {quoted(path)}; expected MODULE:CLASS")
    try:
        cls: type[Method] = getattr(import_module(match[1]), match[2])
    except (ImportError, AttributeError, SyntaxError) as err:
        reason = clipped(str(err))
        raise InputError(f"method: {quoted(path)} ({reason}); expected MODULE:CLASS that can be imported") from err
    settings = getattr(cls, "Settings", None)
    if not (isinstance(settings, type) and issubclass(settings, BaseModel) and callable(getattr(cls, "run", None))):
        raise InputError(f"method: {quoted(path)}: no method; expected a class with Settings, student and run")
    return cls
