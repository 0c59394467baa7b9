"""A search without training: a spec, a teacher that is only a document, and errors made up from settings."""

from __future__ import annotations

from typing import Any

from raysearch.encoder.config import Blocks, EncoderConfig, LogMel
from raysearch.search.searcher import Searcher
from raysearch.spec.document import Spec
from raysearch.spec.loading import parse_spec

TEACHER = EncoderConfig(front_end=LogMel(), width=256, blocks=Blocks(count=6, heads=4, head_width=64, ffn=1024))

DOCUMENT: dict[str, Any] = {
    "name": "tiny",
    "corpus": {"kind": "synthetic"},
    "teacher": {"source": "train"},
    "task": {"kind": "phonemes"},
    "method": "dicehubert",
    "student": {"heads": 4},
    "space": {
        "student.depth": {"int": [1, 6]},
        "student.width": {"choice": [64, 128, 256]},
        "targets.clusters": {"choice": [50, 100, 200]},
    },
    "search": {"trials": 6, "updates": 100, "rungs": [0.5, 1.0]},
}
ABOUT = {
    "reference_point": [100.0, 100.0],
    "teacher": {"cost": {"macs_g": 100.0, "params_m": 1.0}, "metrics": {"eval/per": 9.0}},
    "digest": "ab",
    "versions": {"torch": "2"},
    "git_commit": None,
    "seed": 0,
}
"""What the study of a search knows of it as a whole."""


def spec_with(**changes: Any) -> Spec:
    document = {**DOCUMENT, **changes}
    return parse_spec(document, where="tiny.yaml")


def error_of(config: dict[str, Any]) -> float:
    """A made-up PER: deeper, wider and more clusters are better."""
    return 90 - 6 * config["student.depth"] - config["student.width"] / 16 - config["targets.clusters"] / 50


def run(searcher: Searcher, *, until: int | None = None) -> list[int]:
    """Play the lanes' part; returns the numbers in the order in which trials ran."""
    ran = []
    while (suggestion := searcher.suggest()) is not None:
        ran.append(suggestion.number)
        per = error_of(suggestion.config)
        if searcher.observe(suggestion.number, 50, {"eval/per": per + 10}):
            searcher.complete(suggestion.number, 100, {"eval/per": per})
        if until is not None and len(ran) >= until:
            break
    return ran
