"""Fixtures of the search tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from made_up import TEACHER

from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec import Spec


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "study.journal")


@pytest.fixture
def study_storage(journal: str) -> str:
    """Where a study lives."""
    return journal


@pytest.fixture
def start(study_storage: str) -> Callable[..., Searcher]:
    """`start(spec)` opens or creates the study and returns a searcher on it, as a driver would after a crash."""

    def _start(spec: Spec, trials: int | None = None) -> Searcher:
        try:
            study = Study.open(study_storage, spec.name)
        except KeyError:
            study = Study.create(study_storage, spec.name, spec.objectives, {})
        return Searcher(spec, study, TEACHER, trials=trials or spec.search.trials, say=lambda _: None)

    return _start
