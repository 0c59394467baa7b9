"""raysearch: search the published ways to compress a speech encoder, for the front of MACs against error.

What the command line does, Python has as functions: those of `__all__`. Each is loaded when it is first asked for, so
that `import raysearch` takes no time and loads neither torch nor Ray.
"""

from __future__ import annotations

from importlib import import_module

# The constant of `typing`, which type checkers and editors know by its name: importing it takes longer than all else.
TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from raysearch.api.clusters import doctor
    from raysearch.api.comparing import Comparison, compare, judge_claim
    from raysearch.api.corpora import check_corpus, prepare_corpus, synthesise_corpus
    from raysearch.api.documents import list_encoders, list_spaces, load_spec, spec_schema
    from raysearch.api.encoders import convert_encoder, encoder_cost, load_encoder
    from raysearch.api.exports import transcribe, verify, verify_speaker
    from raysearch.api.labels import build_label_sets, kept_features, label_sets, remove_garbage, shared_trainings
    from raysearch.api.planning import plan, profile, simulate, write_table
    from raysearch.api.search import Search
    from raysearch.api.searches import load_student, open_search, remove_search, resume, search, searches

__version__ = "0.1.0"
__all__ = [
    "Comparison",
    "Search",
    "build_label_sets",
    "check_corpus",
    "compare",
    "convert_encoder",
    "doctor",
    "encoder_cost",
    "judge_claim",
    "kept_features",
    "label_sets",
    "list_encoders",
    "list_spaces",
    "load_encoder",
    "load_spec",
    "load_student",
    "open_search",
    "plan",
    "prepare_corpus",
    "profile",
    "remove_garbage",
    "remove_search",
    "resume",
    "search",
    "searches",
    "shared_trainings",
    "simulate",
    "spec_schema",
    "synthesise_corpus",
    "transcribe",
    "verify",
    "verify_speaker",
    "write_table",
]

_FILES = {
    "clusters": ("doctor",),
    "comparing": ("Comparison", "compare", "judge_claim"),
    "corpora": ("check_corpus", "prepare_corpus", "synthesise_corpus"),
    "documents": ("list_encoders", "list_spaces", "load_spec", "spec_schema"),
    "encoders": ("convert_encoder", "encoder_cost", "load_encoder"),
    "exports": ("transcribe", "verify", "verify_speaker"),
    "labels": ("build_label_sets", "kept_features", "label_sets", "remove_garbage", "shared_trainings"),
    "planning": ("plan", "profile", "simulate", "write_table"),
    "search": ("Search",),
    "searches": ("load_student", "open_search", "remove_search", "resume", "search", "searches"),
}
"""The files of `raysearch/api/` in which the names lie."""

# A room takes its name in the package when it is first imported. The room `search` has the name of a function: it is
# imported here, where that costs nothing, and the name is free again for the function.
import_module("raysearch.search")
del globals()["search"]


def __getattr__(name: str) -> Any:
    for file, names in _FILES.items():
        if name in names:
            found = globals()[name] = getattr(import_module(f"raysearch.api.{file}"), name)
            return found
    raise AttributeError(f"module 'raysearch' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
