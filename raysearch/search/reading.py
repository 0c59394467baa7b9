"""Reads a search for those who show it: from its study, never from MLflow and never by scanning folders."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from raysearch.errors import InputError
from raysearch.evidence.kept import Evidence, Packed, Shelf, agreeing
from raysearch.files.whole import whole_file, write_whole
from raysearch.front.document import SearchDocument
from raysearch.front.document import document as build_document
from raysearch.front.record import Record
from raysearch.front.trials import Cost, SharedTraining, TeacherPoint, TrialRecord
from raysearch.search.memory.pasts import Past
from raysearch.search.memory.pasts import standing as pasts_standing
from raysearch.search.repeats import over_seeds
from raysearch.search.study import PASTS, SHARED, TRUST, Study
from raysearch.search.watching.standing import Standing, read_standing
from raysearch.search.watching.status import search_status
from raysearch.storage.folder import SearchFolder
from raysearch.storage.lease import living_driver
from raysearch.storage.stage import read_stage
from raysearch.tracking.state import SearchState

_NOWHERE = (100.0, 100.0)
"""The reference point of a search without trials, from which nothing is measured."""


def open_study(folder: SearchFolder) -> Study:
    """The study of the search in `folder`.

    Raises: InputError if the search has no study yet. It says where the search stands.
    """
    if (study := _study(folder)) is None:
        raise InputError(f"{folder.name}: no trial yet: {standing_of(folder)}")
    return study


def _study(folder: SearchFolder) -> Study | None:
    try:
        study = Study.of(folder)
    except KeyError:
        return None
    return study if study.is_whole else None


def read_document(folder: SearchFolder) -> SearchDocument:
    """The search's trials, front and hypervolume.

    Raises: InputError if the search has no study yet.
    """
    study = open_study(folder)
    return _document(folder, study, _with_evidence(folder, over_seeds(study.records())))


def ended_off_front(folder: SearchFolder) -> list[int]:
    """Numbers of the trials that have ended and are not on the front.

    Raises: InputError if the search has no study yet.
    """
    study = open_study(folder)
    document = _document(folder, study, study.records())
    return [
        trial.number for trial in document.trials if trial.state != "running" and trial.number not in document.front
    ]


def read_state(folder: SearchFolder) -> SearchState:
    """All that the MLflow mirror needs to know of the search."""
    study = open_study(folder)
    about = study.about
    spec = folder.spec()
    document = _document(folder, study, _with_evidence(folder, over_seeds(study.records())))
    ended = sum(trial.state != "running" and _counts(trial) for trial in document.trials)
    standing = stands(folder, study, document, _asked(folder, study))
    return SearchState(
        document=document,
        spec=spec.model_dump(mode="json", by_alias=True, exclude_none=True),
        spec_hash=about["digest"],
        versions=about["versions"],
        git_commit=about["git_commit"],
        seed=about["seed"],
        folder=folder.path,
        curves=folder.curve,
        shared_curves=folder.shared_curve,
        importances=study.importances,
        finished=ended >= _asked(folder, study) or (standing.state == "done" and bool(standing.reason)),
        abandoned=standing.state if standing.state in ("interrupted", "failed") else "",
        token=folder.links().token,
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
        evidence=Packed.of({trial.number: trial.evidence for trial in state.document.trials}),
    )


def _from_here(node: Any) -> Any:
    """The document with absolute paths made relative, since a record is read on other machines."""
    if isinstance(node, Mapping):
        return {key: _from_here(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_from_here(value) for value in node]
    return os.path.relpath(node) if isinstance(node, str) and os.path.isabs(node) else node


class _Known:
    """The errors cut by cut of one search, as far as this process has read them."""

    def __init__(self) -> None:
        self._shelf = Shelf()
        self._found: dict[int, tuple[tuple[int, ...], Mapping[str, float], Evidence]] = {}

    def evidence(self, folder: SearchFolder, trial: TrialRecord) -> Evidence:
        """Those of a trial. A file is read again if it has changed, or if the study says otherwise of the trial."""
        version = folder.evidence_version(trial.number)
        known = self._found.get(trial.number)
        if known is None or known[:2] != (version, trial.metrics):
            found = self._shelf.sharing(agreeing(folder.evidence(trial.number), trial.metrics))
            known = self._found[trial.number] = (version, trial.metrics, found)
        return known[2]


@lru_cache(maxsize=4)
def _known(path: Path) -> _Known:
    """What this process knows of a search. Whoever follows one reads it again and again."""
    return _Known()


def _with_evidence(folder: SearchFolder, trials: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The trials, the complete ones with their errors cut by cut, as far as these are of the errors in the study."""
    known = _known(folder.path)
    return [
        trial.model_copy(update={"evidence": known.evidence(folder, trial)}) if trial.state == "complete" else trial
        for trial in trials
    ]


def _document(folder: SearchFolder, study: Study, trials: Sequence[TrialRecord]) -> SearchDocument:
    teacher = study.about["teacher"]
    running = any(trial.state == "running" for trial in trials)
    return build_document(
        folder.name,
        study.objectives,
        trials,
        study.about["reference_point"],
        TeacherPoint(cost=Cost(**teacher["cost"]), metrics=teacher["metrics"]),
        shared=[SharedTraining(**one) for one in study.about.get(SHARED, ())],
        # Of a search in which nothing runs, nobody asks.
        driven=not running or living_driver(study.storage, study.name) is not None,
    )


def write_front(document: SearchDocument, folder: SearchFolder) -> list[Path]:
    """Writes the front as JSON, PNG and HTML into the search's folder. Returns the paths."""
    from raysearch.front.plots import draw_html, draw_png

    paths = [folder.path / f"front.{kind}" for kind in ("json", "png", "html")]
    write_whole(paths[0], document.model_dump_json(indent=2))
    for path, draw in ((paths[1], draw_png), (paths[2], draw_html)):
        with whole_file(path) as part:
            draw(document, part)
    return paths


def read_status(folder: SearchFolder) -> dict[str, Any]:
    """How the search stands: trials by state, front, hypervolume against time, and seconds spent, saved and left."""
    study, spec = _study(folder), folder.spec()
    if study is None:
        document = build_document(folder.name, spec.objectives, [], _NOWHERE)
        return search_status(document, spec, spec.search.trials, standing_of(folder), _spent(folder))
    document, asked = _document(folder, study, over_seeds(study.records())), _asked(folder, study)
    shown = search_status(document, spec, asked, stands(folder, study, document, asked), _spent(folder))
    if trust := study.about.get(TRUST):
        shown |= {"foreseen": trust}
    pasts = [Past.unpack(packed) for packed in study.about.get(PASTS, ())]
    return shown | {
        "changes": [{"trial": one["trial"], "changes": one["changes"]} for one in study.history],
        "learns_from": pasts_standing(pasts, study.taus(), study.judged_on),
    }


def _spent(folder: SearchFolder) -> Mapping[str, float]:
    """What the search has spent of a budget, by unit."""
    stage = read_stage(folder.path)
    return stage.spent if stage else {}


def standing_of(folder: SearchFolder) -> Standing:
    """Where the search in `folder` stands."""
    study = _study(folder)
    if study is None:
        return read_standing(folder, None, finished=False, running=())
    return stands(folder, study, _document(folder, study, study.records()), _asked(folder, study))


def _asked(folder: SearchFolder, study: Study) -> int:
    """How many trials the search is to run."""
    return int(study.about.get("trials") or folder.spec().search.trials)


def _counts(trial: TrialRecord) -> bool:
    """Whether a trial counts among those that a search is asked for."""
    return not trial.refused and trial.repeats is None


def stands(folder: SearchFolder, study: Study, document: SearchDocument, asked: int) -> Standing:
    """Where the search stands that was asked for so many trials."""
    ended = sum(trial.state != "running" and _counts(trial) for trial in document.trials)
    running = [trial.number for trial in document.trials if trial.state == "running"]
    return read_standing(folder, study, finished=ended >= asked and not running, running=running)
