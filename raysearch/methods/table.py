"""The table of all methods. It says where the class of each lives, which is imported only when it is used."""

from __future__ import annotations

from importlib import import_module

from raysearch.errors import InputError, did_you_mean
from raysearch.methods.method import Method

METHODS = {
    "hubert": "raysearch.methods.labels.hubert:Hubert",
    "dicehubert": "raysearch.methods.labels.hubert:DiceHubert",
    "fasthubert": "raysearch.methods.labels.hubert:FastHubert",
    "distilhubert": "raysearch.methods.features.distilhubert:DistilHubert",
    "hjpruning": "raysearch.methods.pruning.hjpruning:HJPruning",
    "dphubert": "raysearch.methods.pruning.hjpruning:DPHubert",
    "oskdft": "raysearch.methods.speaker.oskdft:Oskdft",
    "kd-then-ft": "raysearch.methods.speaker.oskdft:KdThenFt",
    "ft-only": "raysearch.methods.speaker.oskdft:FtOnly",
    "unfused": "raysearch.methods.unfused.unfused:Unfused",
}


def load_method(name: str) -> type[Method]:
    """The class of a method of the table, or of one that lives elsewhere: `package.module:Class`.

    Raises: InputError naming the known methods.
    """
    if ":" in name:
        return _imported(name)
    if name not in METHODS:
        raise InputError(f"method: {name!r}; expected one of {', '.join(METHODS)}{did_you_mean(name, METHODS)}")
    return _imported(METHODS[name])


def _imported(path: str) -> type[Method]:
    module, _, attribute = path.partition(":")
    try:
        cls: type[Method] = getattr(import_module(module), attribute)
    except (ImportError, AttributeError) as err:
        raise InputError(f"method: {path!r} ({err}); expected MODULE:CLASS that can be imported") from err
    return cls
