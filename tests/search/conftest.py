"""Fixtures of the search tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import optuna
import pytest
from made_up import TEACHER
from throwaway_postgres import throwaway_postgres

from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec import Spec


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "study.journal")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a throwaway PostgreSQL, without any study."""
    with throwaway_postgres() as url:
        yield url


@pytest.fixture
def empty_postgres(postgres: str) -> str:
    """The URL, after the studies of earlier tests were deleted."""
    for name in optuna.get_all_study_names(postgres):
        optuna.delete_study(study_name=name, storage=postgres)
    return postgres


@pytest.fixture(params=["journal", "postgres"])
def study_storage(request: pytest.FixtureRequest, journal: str) -> str:
    """Where a study lives: each test with it runs on a journal and on PostgreSQL."""
    if request.param == "journal":
        return journal
    url: str = request.getfixturevalue("empty_postgres")
    return url


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
