"""Goes on with a wider document: the study keeps its trials, and the history of what was asked of it.

Optuna lets no parameter get other choices, so from then on such a parameter has a new name in the study. Configurations
keep the keys of the document.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from raysearch.search.study import HISTORY, Study
from raysearch.spec.document import Spec
from raysearch.spec.loading import parse_spec
from raysearch.spec.widening import held, rechosen
from raysearch.storage.folder import SearchFolder


class Wider(NamedTuple):
    """A document that became wider."""

    old: Spec
    new: Spec
    changes: dict[str, str]
    """What differs, as `OLD -> NEW`, by dotted key."""

    def __str__(self) -> str:
        return ", ".join(f"{key}: {change}" for key, change in self.changes.items())


def keep_wider(folder: SearchFolder, study: Study | None, wider: Wider) -> None:
    """Keeps the document with which a search goes on, in the study first and then in the folder.

    Where an earlier driver died between the two, `whole_document` finds it.
    """
    old, new, changes = wider
    if study is not None:
        entry = {
            "trial": study.asked,
            "changes": changes,
            "held": held(old, new),
            "rechosen": rechosen(old, new),
            "spec": _document(new),
        }
        study.note(HISTORY, [*study.history, entry])
    folder.rewrite(new)


def whole_document(folder: SearchFolder, study: Study | None) -> Spec:
    """The document with which a search last went on."""
    if study is None or not study.history:
        return folder.spec()
    return parse_spec(study.history[-1]["spec"], where=f"{folder.name}: history")


def _document(spec: Spec) -> dict[str, Any]:
    return spec.model_dump(mode="json", by_alias=True, exclude_none=True)
