"""Which published points compare with a front, and why the others do not.

A search is looked at as its search document is written. Points compare if its error is of the same task on the same
recordings, judged in the same way, and if its cost is counted in the same way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import PurePath
from typing import Any

from raysearch.front.document import SearchDocument
from raysearch.front.objective import axes, header
from raysearch.front.published import SUPERB_32, PublishedPoint, published_points
from raysearch.front.table import Column, fitted, markdown, number_column
from raysearch.settings import Outcome

Document = Mapping[str, Any]
"""A search document as it is written in YAML."""


@dataclass(frozen=True)
class Benchmark:
    """A published task: what a search document says that asks for the same."""

    title: str
    """Name of the task."""
    kind: str
    """Kind of the task in a search document."""
    judged_on: str
    """The recordings that published errors are of."""
    asked: Mapping[str, str]
    """What stands under keys of the search document: key -> text, with a list's entries joined by commas and a file by
    its name. Keys under `task` are of the task of this kind.
    """
    note: str = ""
    """What else differs between published figures and those of trials."""


_LIBRISPEECH = {
    "corpus.kind": "librispeech",
    "corpus.splits.train": "train-clean-100",
    "corpus.splits.test": "test-clean",
    "task.mode": "probe",
}
_VOXCELEB = {"corpus.kind": "voxceleb", "corpus.test.file": "veri_test2.txt"}
# Source: SUPERB (Yang et al., Interspeech 2021), and the configurations of s3prl.
BENCHMARKS = {
    "superb-pr": Benchmark("SUPERB phoneme recognition", "phonemes", "test-clean", _LIBRISPEECH),
    "superb-asr": Benchmark(
        "SUPERB speech recognition",
        "asr",
        "test-clean",
        _LIBRISPEECH | {"task.head": "superb", "task.head_width": "1024"},
    ),
    "superb-asv": Benchmark(
        "SUPERB speaker verification",
        "speaker",
        "Vox1-O",
        _VOXCELEB
        | {
            "task.backend.kind": "xvector",
            "task.backend.channels": "512",
            "task.backend.embedding": "512",
            "task.backend.layers": "sum",
            "task.loss": "am",
        },
    ),
    "vox1-o": Benchmark(
        "Vox1-O",
        "speaker",
        "Vox1-O",
        _VOXCELEB,
        note="their costs are those of whole networks, the costs of trials leave the back end out",
    ),
}


class Beside(Outcome):
    """Published points beside a front, and what was left out."""

    points: list[PublishedPoint] = []
    """The points that compare, by cost."""
    left_out: list[str] = []
    """One line for each reason for which points of a table do not compare."""

    @property
    def tasks(self) -> list[str]:
        """The tasks of the points."""
        return list(dict.fromkeys(point.task for point in self.points))

    @property
    def label(self) -> str:
        """What a legend calls the points: trials are judged on dev, they are not."""
        places = dict.fromkeys(known.judged_on for task in self.tasks if (known := BENCHMARKS.get(task)))
        return f"published, on {' and '.join(places)}" if places else "published"

    @property
    def notes(self) -> list[str]:
        """For each task of the points: its name, and what to know before they are compared with trials."""
        return [_note(task) for task in self.tasks]


def beside(front: SearchDocument, asked: Document, sources: Sequence[str]) -> Beside:
    """The published points of these sources that compare with a front, whose search document is `asked`.

    A source is `superb`, `voxceleb`, or a user's table.
    Raises: InputError if there is no such table, or a row of it is wrong.
    """
    cost, error = axes(front.objectives)
    points: list[PublishedPoint] = []
    left_out: list[str] = []
    for source in sources:
        known = published_points(source)
        of_error = [point for point in known if point.metric == error]
        differs = {point.task: _difference(point.task, front, asked) for point in of_error}
        judged = [point for point in of_error if not differs[point.task]]
        costed = [point for point in judged if cost_of(point, cost)]
        reasons = [why for why in differs.values() if why]
        if not of_error:
            reasons.append(f"objectives: {error}; expected {' or '.join(sorted({point.metric for point in known}))}")
        if len(costed) < len(judged):
            reasons.append(_without_cost([point for point in judged if point not in costed], cost, none=not costed))
        left_out += [f"published {source}: left out: {why}" for why in reasons]
        points += costed
    return Beside(points=sorted(points, key=lambda point: cost_of(point, cost)), left_out=left_out)


def beside_table(
    found: Beside, objectives: Sequence[str], *, width: int | None = None, as_markdown: bool = False
) -> str:
    """The points as a table to read, at most `width` characters wide, or as Markdown."""
    _, error = axes(objectives)
    columns = [
        Column("published", [point.name for point in found.points], left=True),
        number_column("MACs G", [cost_of(point, "macs") or nan for point in found.points], digits=2),
        number_column("params M", [cost_of(point, "params") or nan for point in found.points], digits=2),
        number_column(header(error), [point.error for point in found.points], digits=3, width=6),
        Column("teacher", [point.teacher or "-" for point in found.points], left=True, spare=2),
        Column("source", [point.source for point in found.points], left=True, spare=1),
    ]
    lines = [*markdown(columns), ""] if as_markdown else fitted(columns, width)
    return "\n".join([*lines, *found.notes])


def cost_of(point: PublishedPoint, cost: str) -> float:
    """A cost that compares with those of trials, in the unit of the objective; 0 where there is none."""
    macs_g = point.macs_g if point.macs_of == SUPERB_32 else None
    return {"macs": macs_g, "params": point.params_m}.get(cost) or 0.0


def _difference(task: str, front: SearchDocument, asked: Document) -> str:
    """What tells the search from a published task, in one line; empty if they are the same."""
    if task not in BENCHMARKS:
        kind, _, corpus = task.partition(":")
        return _first_difference(kind, {"corpus.kind": corpus}, asked, task)
    known = BENCHMARKS[task]
    if difference := _first_difference(known.kind, known.asked, asked, known.title):
        return difference
    _, error = axes(front.objectives)
    # A probe's error is kept beside that of a head which was trained with the encoder, and only there. A back end that
    # was trained with it has its cost counted.
    trained = {f"probe/{error}", "cost/macs_total_g"} if task.startswith("superb") else {f"probe/{error}"}
    if any(trained & trial.metrics.keys() for trial in front.members()):
        return f"task: heads that were trained with the encoder; expected probes, as {known.title} has them"
    return ""


def _first_difference(kind: str, expected: Mapping[str, str], asked: Document, title: str) -> str:
    given = asked.get("task")
    every = [one for one in (given if isinstance(given, list) else [given]) if isinstance(one, Mapping)]
    tasks = {str(one.get("kind")): one for one in every}
    if kind not in tasks:
        return f"task.kind: {', '.join(tasks) or 'none'}; expected {kind}, as {title} has it"
    for key, text in expected.items():
        if (found := _text({**asked, "task": tasks[kind]}, key)) != text:
            return f"{key}: {found or 'none'}; expected {text}, as {title} has it"
    return ""


def _text(document: Any, key: str) -> str:
    """What stands under a dotted key, as text; empty where nothing does."""
    for part in key.split("."):
        document = document.get(part) if isinstance(document, Mapping) else None
    if isinstance(document, list):
        return ", ".join(map(str, document))
    return PurePath(str(document)).name if document is not None else ""


def _without_cost(points: Sequence[PublishedPoint], cost: str, *, none: bool) -> str:
    """Why these points have no cost that compares. They are named, unless that is so of all points: `none` compares."""
    names = "" if none else f": {', '.join(point.name for point in points)}"
    if cost == "macs":
        counted = ", ".join(dict.fromkeys(point.macs_of or "not in print" for point in points))
        return f"MACs: {counted}; expected those of {SUPERB_32}{names}"
    if cost == "params":
        return f"params: not in print{names}"
    return f"objectives: {cost}; expected macs or params"


def _note(task: str) -> str:
    if (known := BENCHMARKS.get(task)) is None:
        return f"published: {task}"
    note = f"; {known.note}" if known.note else ""
    return f"published: {known.title}, errors on {known.judged_on}; those of trials are on dev{note}"
