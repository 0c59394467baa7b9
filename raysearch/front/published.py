"""Published points: what others have measured and printed, to be shown beside a front and never in it.

A table of them comes with raysearch. Users have tables of their own, with the same columns.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator, model_validator

from raysearch.errors import InputError, did_you_mean, quoted
from raysearch.files.text import read_table
from raysearch.settings import Settings

TABLE = Path(__file__).with_suffix(".csv")
"""The table that comes with raysearch. Its figures are facts of the sources that it names."""
SETS = {"superb": ("superb-pr", "superb-asr", "superb-asv"), "voxceleb": ("vox1-o",)}
"""Names under which points of that table are asked for, with the tasks of each."""
SUPERB_32 = "superb-32"
"""What MACs are summed over that compare with those of trials: SUPERB's 32 utterances, without the task's head."""


class PublishedPoint(Settings):
    """One model, and its error on one task. It is a row of a table, and these are its columns."""

    name: str = Field(min_length=1, max_length=100)
    """Name of the model."""
    task: str = Field(max_length=100)
    """What the model was judged on: `superb-pr`, `superb-asr`, `superb-asv`, `vox1-o`, or a task of one's own, which is
    the kind of a task and of a corpus in search documents, such as `phonemes:an4`.
    """
    metric: Literal["wer", "per", "eer", "error"]
    """Which error it is."""
    error: float = Field(ge=0, le=1_000)
    """The error in percent."""
    macs_g: float | None = Field(None, ge=0)
    """GMAC of the model; empty where they are not known."""
    macs_of: str = Field("", max_length=100)
    """What the MACs are summed over. Only those of `superb-32`, SUPERB's 32 utterances with the head left out, compare
    with those of trials.
    """
    params_m: float | None = Field(None, ge=0)
    """Millions of parameters; empty where they are not known."""
    teacher: str = Field("", max_length=100)
    """The model that it was made from; empty where there is none."""
    source: str = Field(min_length=1, max_length=200)
    """Where the figures stand: paper and table, or an address."""

    @field_validator("task")
    @classmethod
    def _known_task(cls, task: str) -> str:
        known = [task for tasks in SETS.values() for task in tasks]
        kind, _, corpus = task.partition(":")
        if task not in known and not (kind and corpus):
            expected = f"{', '.join(known)}, or a kind of task and of corpus such as phonemes:an4"
            raise ValueError(f"{quoted(task)}; expected {expected}{did_you_mean(task, known)}")
        return task

    @model_validator(mode="after")
    def _macs_of_something(self) -> PublishedPoint:
        if self.macs_g is not None and not self.macs_of:
            raise ValueError(f"macs_of: empty; expected what the MACs are summed over, such as {SUPERB_32}")
        return self


def published_points(source: str) -> list[PublishedPoint]:
    """The points of a set that comes along, by its name, or of a user's table, by its file.

    Raises: InputError if there is no such file, or a row of it is wrong.
    """
    if source in SETS:
        return [point for point in read_points(TABLE) if point.task in SETS[source]]
    if not Path(source).exists():
        known = ", ".join(SETS)
        raise InputError(f"--published: {source}: no such file; expected one, or {known}{did_you_mean(source, SETS)}")
    return read_points(Path(source))


def read_points(path: Path) -> list[PublishedPoint]:
    """The points of a CSV file, whose first line names the columns.

    Raises: InputError with the line of the first row that is wrong.
    """
    columns = list(PublishedPoint.model_fields)
    lines: dict[tuple[str, str, str], int] = {}
    points = []
    for line, row, fault in read_table(path, "--published", columns):
        where = f"--published: {path}: line {line}"
        if fault:
            raise InputError(f"--published: {path}: {fault}")
        point = _point(row, columns, where)
        before = lines.setdefault((point.name, point.task, point.metric), line)
        if before != line:
            raise InputError(f"{where}: {point.name} on {point.task} as on line {before}; expected each model once")
        points.append(point)
    return points


def _point(row: dict[str, str], columns: list[str], where: str) -> PublishedPoint:
    cells = {column: row[column].strip() for column in columns}
    try:
        # What is empty has no value; where one is needed, it is told as missing.
        return PublishedPoint.checked({column: cell for column, cell in cells.items() if cell})
    except InputError as err:
        raise InputError(f"{where}: {err}") from err
