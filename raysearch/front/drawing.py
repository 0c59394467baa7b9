"""What a picture of a search shows, as data. Both ways to draw, PNG and HTML, take it, and tests check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import inf, isfinite
from typing import NamedTuple

from raysearch.front.beside import Beside, cost_of
from raysearch.front.document import SearchDocument
from raysearch.front.front import Front, Mark, Marked
from raysearch.front.objective import axes, header, interval, unit, value
from raysearch.front.published import PublishedPoint
from raysearch.front.table import rounded, setting_text, trial_counts, varying_settings
from raysearch.front.trials import TrialRecord

# Okabe and Ito's colours can be told apart by colour-blind readers too. Black and yellow are left out.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#7B3294", "#E69F00", "#8C510A", "#56B4E9")
LIGHTER = ("#56B4E9", "#FF8C4B", "#2FD0A0", "#E7A5C8", "#C08AE0", "#F5C04D", "#D9A45F", "#8FD0F5")
"""The same colours for a dark page."""


class Shape(NamedTuple):
    """The shape of a point, by the names that the two libraries have for it."""

    plotly: str
    matplotlib: str


# A method has a shape of its own beside its colour, for readers who see no colours, and for grey paper. Published
# points are thin diamonds and the teacher is a star, so no method is.
SHAPES = tuple(
    Shape(*names)
    for names in (
        ("circle", "o"), ("square", "s"), ("triangle-up", "^"), ("cross", "P"),
        ("triangle-down", "v"), ("pentagon", "p"), ("hexagon", "h"), ("x", "X"),
    )
)  # fmt: skip


class Look(NamedTuple):
    """How the points of a method look."""

    colour: str
    shape: Shape


FAR = 2.0
"""Largest error of a published point that is drawn, in multiples of the largest one of a trial. Pictures of points that
are farther off would be blank in between."""


@dataclass(frozen=True)
class Point:
    """A complete trial, the teacher, or a published point, as a point of the picture."""

    label: str
    """Number of the trial, or name of the teacher or of the published model."""
    method: str
    """Name of the trial's method, which decides the colour."""
    x: float
    """Cost; its axis is logarithmic."""
    y: float
    """Error in percent."""
    low: float
    """Lower end of the error's 95 % interval."""
    high: float
    """Upper end of the error's 95 % interval."""
    mark: Mark | None
    """How the trial stands to the front; None for what is no trial."""
    details: tuple[str, ...]
    """Lines of text that appear when a reader points at it."""


@dataclass(frozen=True)
class Drawing:
    """One picture of a search."""

    title: str
    """Name of the search and size of its front."""
    subtitle: str
    """Counts of trials by state, the hypervolume, and published points that are too far off to be drawn."""
    x_label: str
    """What the cost axis says."""
    y_label: str
    """What the error axis says."""
    points: tuple[Point, ...]
    """The complete trials, sorted by number."""
    front: tuple[Point, ...]
    """The points that the step line joins, sorted by cost."""
    teacher: Point | None
    """The teacher, if its cost and error are known."""
    published: tuple[Point, ...]
    """Published points beside the front, sorted by cost."""
    published_label: str
    """What the legend calls them."""
    looks: dict[str, Look]
    """Look of each method by its name, in the order of the legend."""


def drawing(document: SearchDocument, beside: Beside | None = None) -> Drawing:
    """What a picture of the search shows, with published points beside its front if there are any.

    Only complete trials are drawn. The others have errors of unfinished students, and are counted in the subtitle.
    A search with more than two objectives is drawn on its first cost and its first error.
    """
    cost, error = axes(document.objectives)
    front = Front.of(document.trials, document.objectives)
    marks = document.marked()
    settings = varying_settings(document.trials)
    shown = [trial for trial in document.trials if trial.number in marks]
    points = tuple(_point(trial, cost, error, marks[trial.number], settings) for trial in shown)
    by_number = dict(zip((trial.number for trial in shown), points, strict=True))
    methods = sorted({point.method for point in points})
    known = tuple(_published(point, cost, error) for point in (beside.points if beside else ()))
    near = [point for point in known if point.y <= FAR * max((trial.y for trial in points), default=inf)]
    far = f" · out of the picture: {', '.join(point.label for point in known if point not in near)}"
    return Drawing(
        title=f"{document.name}: front of {len(document.front)}",
        subtitle=f"{trial_counts(document)} · hypervolume {rounded(document.hypervolume)} at ({_reference(document)})"
        + (far if len(near) < len(known) else ""),
        x_label=axis_label(cost),
        y_label=axis_label(error),
        points=points,
        front=tuple(by_number[trial.number] for trial in step_line(front)),
        teacher=_teacher(document, cost, error),
        published=tuple(near),
        published_label=beside.label if beside else "",
        looks={
            method: Look(COLOURS[index % len(COLOURS)], SHAPES[index % len(SHAPES)])
            for index, method in enumerate(methods)
        },
    )


def step_line(front: Front) -> list[TrialRecord]:
    """The trials that the step line joins, sorted by cost.

    With three objectives, a member of the front may be dominated on the two axes shown. The line leaves it out.
    """
    cost, error = axes(front.objectives)
    flat = front if front.objectives == (cost, error) else Front.of((*front.members, *front.dominated), (cost, error))
    return sorted(flat.members, key=lambda trial: (value(trial, cost), value(trial, error)))


def axis_label(objective: str) -> str:
    """What the axis of an objective says."""
    return {
        "macs": "MACs of the student on SUPERB's 32 utterances, GMAC",
        "params": "parameters of the student, millions",
        "size": "size of the student's file, MB",
        "latency": "latency of the student on the device, ms",
    }.get(objective, f"{header(objective)} on dev, with 95 % intervals")


def _point(trial: TrialRecord, cost: str, error: str, marked: Marked, settings: Sequence[str]) -> Point:
    low, high = interval(trial, error)
    x, y = value(trial, cost), value(trial, error)
    details = [
        f"trial {trial.number}, {trial.method}: {marked.text}",
        trial.cost.text,
        f"{header(error)} {y:.2f} ({low:.2f} - {high:.2f})",
        *(f"{key} {setting_text(trial.config[key])}" for key in settings if key in trial.config),
    ]
    return Point(str(trial.number), trial.method, x, y, low, high, marked.mark, tuple(details))


def _teacher(document: SearchDocument, cost: str, error: str) -> Point | None:
    teacher = document.teacher
    if teacher is None or not isfinite(value(teacher, cost)) or not isfinite(value(teacher, error)):
        return None
    x, y = value(teacher, cost), value(teacher, error)
    low, high = interval(teacher, error)
    details = (
        teacher.name,
        teacher.cost.text,
        f"{header(error)} {y:.2f} ({low:.2f} - {high:.2f})",
    )
    return Point(teacher.name, "teacher", x, y, low, high, None, details)


def _published(point: PublishedPoint, cost: str, error: str) -> Point:
    figures = [f"{known:.4g} {unit(one)}" for one in ("macs", "params") if (known := cost_of(point, one))]
    details = (
        f"{point.name} (published, {point.task})",
        ", ".join(figures),
        f"{header(error)} {point.error:.2f}",
        *([f"teacher {point.teacher}"] if point.teacher else []),
        point.source,
    )
    return Point(point.name, "published", cost_of(point, cost), point.error, point.error, point.error, None, details)


def _reference(document: SearchDocument) -> str:
    pairs = zip(document.reference_point, document.objectives, strict=True)
    return ", ".join(f"{bound:g} {unit(objective)}" for bound, objective in pairs)
