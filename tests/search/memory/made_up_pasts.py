"""Past searches without training, on the made-up search or on others like it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from raysearch.front.record import Record, write_record
from raysearch.search.costs import Costs
from raysearch.search.memory.pasts import Past, Tried
from raysearch.search.reading import record_of
from raysearch.search.searcher import Searcher
from raysearch.search.study import Study
from raysearch.spec.document import Spec
from raysearch.storage.folder import Links, SearchFolder
from tests.search.made_up import ABOUT, TEACHER, error_of, spec_with


def past(
    spec: Spec | None = None,
    trials: int = 20,
    error: Callable[[dict[str, Any]], float] = error_of,
    judged_by: str = "per",
) -> Past:
    """A past search of so many random trials with made-up errors."""
    spec = spec or spec_with()
    costs, rng = Costs(spec, TEACHER), np.random.default_rng(1)
    drawn = [spec.search_space.draw(rng) for _ in range(trials)]
    tried = [Tried(config, costs(config).macs_g, error(config), 1.0) for config in drawn]
    space = {key: one.model_dump(mode="json", by_alias=True, exclude={"when"}) for key, one in spec.space.items()}
    return Past("past.json.gz", "past", judged_by, spec.methods, space, tried)


def upside_down(past: Past) -> Past:
    """The same with the errors of the best trials at the worst ones."""
    errors = [one.error for one in past.tried if one.error is not None]
    both = min(errors) * max(errors)
    return replace(past, name="hostile", tried=[replace(one, error=both / (one.error or 1)) for one in past.tried])


def begun(root: Path, spec: Spec) -> tuple[SearchFolder, Study]:
    """A search that has a folder and a study."""
    folder = SearchFolder(root, spec.name)
    folder.create(spec, Links(study="", tracking=""))
    study = Study.create(folder.study_storage(), spec.name, spec.objectives, {**ABOUT, "token": folder.links().token})
    return folder, study


def recorded(root: Path, **changes: Any) -> Record:
    """The record of a past search, which lies at `root`."""
    spec = spec_with(**changes)
    folder, study = begun(root, spec)
    searcher = Searcher(spec, study, TEACHER, trials=8, say=lambda _: None)
    for number in range(8):
        suggestion = searcher.suggest()
        assert suggestion
        searcher.complete(suggestion.number, 100, {"eval/per": 50.0 - number})
    record = record_of(folder)
    write_record(record, root / f"{spec.name}.json.gz")
    return record
