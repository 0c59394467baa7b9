"""Fixtures of the search tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from glob import glob
from pathlib import Path
from typing import Any

import optuna
import pytest
from made_up import TEACHER

from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec import Spec


@pytest.fixture
def journal(tmp_path: Path) -> str:
    return str(tmp_path / "study.journal")


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a throwaway PostgreSQL, without any study; it must be installed."""
    # Not below pytest's own folder, which is closed to all but its user: PostgreSQL refuses to be run by root.
    place = Path(tempfile.mkdtemp(prefix="raysearch-postgres-"))
    as_user: dict[str, Any] = {}
    if os.getuid() == 0:
        as_user = {"user": "postgres", "group": "postgres", "extra_groups": []}
        shutil.chown(place, "postgres", "postgres")
    tools = Path(sorted(glob("/usr/lib/postgresql/*/bin"))[-1])
    data, options = place / "data", f"-k {place} -c listen_addresses='' -c fsync=off"
    quiet: dict[str, Any] = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/", **as_user}
    subprocess.run([tools / "initdb", "-D", data, "-U", "postgres", "-A", "trust", "--no-sync"], **quiet)
    subprocess.run([tools / "pg_ctl", "-D", data, "-o", options, "-l", place / "log", "-w", "start"], **quiet)
    yield f"postgresql+psycopg2://postgres@/postgres?host={place}"
    subprocess.run([tools / "pg_ctl", "-D", data, "-m", "immediate", "stop"], **quiet)
    shutil.rmtree(place)


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
