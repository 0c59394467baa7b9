"""Tables of trials whose outcomes are recorded, so that searches can be replayed on them without training.

A table file holds gzipped lines of JSON: first what was searched, then one row for each trial. A configuration that was
not recorded gets the errors and times of the nearest recorded one of the same method. Costs are always exact.

Shapes: R rows, F features.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

from raysearch.encoder.config import AnyConfig, parse_config
from raysearch.errors import InputError
from raysearch.files.gzipped import read_gzip, write_gzip
from raysearch.front.objective import errors_of
from raysearch.search.costs import Costs
from raysearch.search.reading import open_study
from raysearch.search.surrogate import Encoding
from raysearch.spec.document import Spec
from raysearch.spec.loading import differences, parse_spec
from raysearch.spec.space import Config
from raysearch.storage.folder import SearchFolder

FORMAT = 1
"""Version of the file format."""
EXPECTED = "a table written by: raysearch table"


@dataclass(frozen=True)
class Point:
    """What a trial had at one rung."""

    share: float
    """Share of the budget that was spent."""
    seconds: float
    """Seconds since the trial began."""
    error: float
    """Error on dev, in percent."""


@dataclass(frozen=True)
class Row:
    """One configuration run to its budget."""

    config: Config
    points: tuple[Point, ...]
    """What it had at each rung. The last rung is the whole budget, unless the trial diverged."""
    diverged_s: float | None = None
    """Seconds after which the loss was not a number any more. None if that did not happen."""
    truth: float = math.nan
    """Final error without the noise of this run, or as it was measured if the noise is not known. NaN if diverged."""


class Table(Protocol):
    """What a simulation asks of a table, recorded or made up."""

    spec: Spec

    @property
    def teacher(self) -> AnyConfig:
        """The teacher's config, by which students are built."""

    costs: Costs
    reference_point: tuple[float, float]
    """Cost and error beyond which nothing counts."""

    def row(self, config: Config, seed: int) -> Row:
        """What would come of a configuration. `seed` draws the noise, if the table has laws for it."""


class RecordedTable:
    """A table that is made of the trials of finished searches."""

    def __init__(
        self, spec: Spec, teacher: AnyConfig, reference_point: tuple[float, float], rows: Sequence[Row]
    ) -> None:
        self.spec = spec
        self.teacher = teacher
        self.reference_point = reference_point
        self.rows = list(rows)
        self.costs = Costs(spec, teacher)
        self._encode = Encoding(spec.search_space)
        self._features_RF = self._encode([row.config for row in self.rows])

    def row(self, config: Config, seed: int) -> Row:
        """The row of the recorded configuration nearest to this one. There is no noise to draw."""
        distance_R = ((self._features_RF - self._encode([config])) ** 2).sum(axis=1)
        distance_R += [
            0.0 if row.config["method"] == config["method"] else 1e6 for row in self.rows
        ]  # another method is always farther
        return self.rows[int(distance_R.argmin())]


def write_table(table: RecordedTable, path: Path) -> None:
    """Writes a table file, which `read_table` reads."""
    head = {
        "raysearch_table": FORMAT,
        "spec": table.spec.model_dump(mode="json", by_alias=True),
        "teacher": table.teacher.model_dump(mode="json"),
        "reference_point": table.reference_point,
    }
    lines = (head, *(_line(row) for row in table.rows))
    write_gzip(path, "".join(json.dumps(line) + "\n" for line in lines).encode())


def read_table(path: Path) -> RecordedTable:
    """The table in a file.

    Raises: InputError if the file is no table.
    """
    content = read_gzip(path, EXPECTED)
    try:
        head, *lines = (json.loads(line) for line in content.splitlines())
        _check_format(head)
        spec = parse_spec(head["spec"], where=str(path))
        macs_g, error = head["reference_point"]
        rows = [_row(line) for line in lines]
        return RecordedTable(spec, parse_config(head["teacher"]), (macs_g, error), rows)
    except (ValueError, KeyError, TypeError) as err:
        raise InputError(f"{path}: {' '.join(str(err).split())}; expected {EXPECTED}") from err


def _check_format(head: Any) -> None:
    if not isinstance(head, dict) or head.get("raysearch_table") != FORMAT:
        raise ValueError(f"no table of format {FORMAT}")


def rows_of(trials: Iterable[tuple[Any, dict[int, dict[str, float]]]], error: str, spec: Spec) -> list[Row]:
    """Rows of a study's trials: of those that are complete, and of those that diverged."""
    rows = []
    for record, rungs in trials:
        points = tuple(
            Point(spec.share(record.method, at), metrics["cost/seconds"], metrics[f"eval/{error}"])
            for at, metrics in rungs.items()
            if "cost/seconds" in metrics and math.isfinite(metrics.get(f"eval/{error}", math.nan))
        )
        if record.state == "complete" and points:
            rows.append(Row(dict(record.config), points, truth=points[-1].error))
        elif record.cause == "nan":
            rows.append(Row(dict(record.config), points, diverged_s=points[-1].seconds if points else 0.0))
    return rows


def _line(row: Row) -> dict[str, Any]:
    line = asdict(row)
    # JSON has no NaN.
    line["truth"] = row.truth if math.isfinite(row.truth) else None
    return line


def _row(line: dict[str, Any]) -> Row:
    points = tuple(Point(**point) for point in line["points"])
    truth = line["truth"] if line["truth"] is not None else math.nan
    return Row(line["config"], points, line["diverged_s"], truth)


def read_table_of(folders: Sequence[SearchFolder]) -> RecordedTable:
    """The trials of finished searches on one space, as a table to simulate on.

    Raises: InputError if two searches do not belong together, one has three objectives, or no trial was run to its
    budget.
    """
    spec = folders[0].spec()
    if len(spec.objectives) != 2:
        found = ", ".join(spec.objectives)
        raise InputError(f"{folders[0].name}: objectives: {found}; expected a cost and an error, as a table holds them")
    rows = []
    for folder in folders:
        own = folder.spec()
        # How a space was searched may differ, but not the budgets: they decide what comes of a configuration.
        apart = [key for key in differences(spec, own) if not key.startswith(("search.", "workers."))]
        apart += [key for key in ("updates", "updates_of") if getattr(own.search, key) != getattr(spec.search, key)]
        if apart:
            raise InputError(
                f"{folder.name}: {apart[0]} differs from {folders[0].name}'s; expected searches of one space"
            )
        rows += rows_of(open_study(folder).trials(), errors_of(own.objectives)[0], own)
    if not any(row.diverged_s is None for row in rows):
        raise InputError(f"{folders[0].name}: no complete trial with its seconds; expected at least one")
    about = open_study(folders[0]).about
    teacher = parse_config(about["teacher"]["encoder"])
    macs_g, error_limit = about["reference_point"]
    return RecordedTable(spec, teacher, (macs_g, error_limit), rows)
