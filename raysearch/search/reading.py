"""Reads a search for those who show it: from its study, never from MLflow and never by scanning folders."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raysearch.errors import InputError
from raysearch.files.whole import write_whole
from raysearch.front.document import SearchDocument
from raysearch.front.document import document as build_document
from raysearch.front.record import Record
from raysearch.front.trials import Cost, TeacherPoint
from raysearch.search.status import search_status
from raysearch.search.study import Study
from raysearch.storage.folder import SearchFolder
from raysearch.tracking.state import SearchState


def open_study(folder: SearchFolder) -> Study:
    """The study of the search in `folder`.

    Raises: InputError if the search has no study yet.
    """
    storage = folder.study_storage()
    try:
        return Study.open(storage, folder.name)
    except KeyError as err:
        raise InputError(f"{folder.name}: no study yet; expected: raysearch resume {folder.name}") from err


def read_document(folder: SearchFolder) -> SearchDocument:
    """The search's trials, front and hypervolume.

    Raises: InputError if the search has no study yet.
    """
    return _document(folder, open_study(folder))


def ended_off_front(folder: SearchFolder) -> list[int]:
    """Numbers of the trials that have ended and are not on the front.

    Raises: InputError if the search has no study yet.
    """
    document = read_document(folder)
    return [
        trial.number for trial in document.trials if trial.state != "running" and trial.number not in document.front
    ]


def read_state(folder: SearchFolder) -> SearchState:
    """All that the MLflow mirror needs to know of the search."""
    study = open_study(folder)
    about = study.about
    spec = folder.spec()
    document = _document(folder, study)
    ended = sum(trial.state not in ("running", "infeasible") for trial in document.trials)
    return SearchState(
        document=document,
        spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        spec_hash=about["digest"],
        versions=about["versions"],
        git_commit=about["git_commit"],
        seed=about["seed"],
        folder=folder.path,
        curves=folder.curve,
        importances=study.importances,
        finished=ended >= about.get("trials", spec.search.trials),
    )


def record_of(folder: SearchFolder) -> Record:
    """The search as `raysearch record` writes it to one file."""
    state = read_state(folder)
    return Record(
        document=state.document,
        spec=_from_here(state.spec),
        spec_hash=state.spec_hash,
        seed=state.seed,
        versions=dict(state.versions),
        git_commit=state.git_commit,
    )


def _from_here(node: Any) -> Any:
    """The document with absolute paths made relative, since a record is read on other machines."""
    if isinstance(node, Mapping):
        return {key: _from_here(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_from_here(value) for value in node]
    return os.path.relpath(node) if isinstance(node, str) and os.path.isabs(node) else node


def _document(folder: SearchFolder, study: Study) -> SearchDocument:
    teacher = study.about["teacher"]
    return build_document(
        folder.name,
        study.objectives,
        study.records(),
        study.about["reference_point"],
        TeacherPoint(cost=Cost(**teacher["cost"]), metrics=teacher["metrics"]),
    )


def write_front(document: SearchDocument, folder: SearchFolder) -> list[Path]:
    """Writes the front as JSON, PNG and HTML into the search's folder. Returns the paths."""
    from raysearch.front.plots import draw_html, draw_png

    paths = [folder.path / f"front.{kind}" for kind in ("json", "png", "html")]
    write_whole(paths[0], document.model_dump_json(indent=2))
    draw_png(document, paths[1])
    draw_html(document, paths[2])
    return paths


def read_status(folder: SearchFolder) -> dict[str, Any]:
    """How the search stands: trials by state, front, hypervolume against time, and seconds spent, saved and left."""
    study = open_study(folder)
    spec = folder.spec()
    return search_status(_document(folder, study), spec, int(study.about.get("trials", spec.search.trials)))
