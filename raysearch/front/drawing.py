"""What a picture of a search shows, as data. Both ways to draw, PNG and HTML, take it, and tests check it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import inf, isfinite, log, log10, nan
from typing import NamedTuple

from raysearch.front.beside import Beside, cost_of
from raysearch.front.document import SearchDocument
from raysearch.front.front import Front, Mark, Marked
from raysearch.front.objective import COSTS, axes, costs_of, errors_of, header, interval, unit, value
from raysearch.front.published import PublishedPoint
from raysearch.front.table import rounded, setting_text, trial_counts, varying_settings
from raysearch.front.trials import TeacherPoint, TrialRecord

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
    """Value on the axis to the right, by default the first cost."""
    y: float
    """Value on the axis upwards, by default the first error in percent."""
    low: float
    """Lower end of the 95 % interval of `y`."""
    high: float
    """Upper end of the 95 % interval of `y`."""
    mark: Mark | None
    """How the trial stands to the front; None for what is no trial."""
    details: tuple[str, ...]
    """Lines of text that appear when a reader points at it."""
    x_ends: tuple[float, float] = (nan, nan)
    """Ends of the 95 % interval of `x`, which are `x` itself if that is a cost."""
    third: float = nan
    """Value of the third objective, which decides the colour. NaN if there are two, and for published points."""


@dataclass(frozen=True)
class Drawing:
    """One picture of a search."""

    title: str
    """Name of the search and size of its front."""
    subtitle: str
    """Counts of trials by state, the hypervolume, and published points that are too far off to be drawn."""
    axes: tuple[str, str]
    """The objectives to the right and upwards. Those of costs are logarithmic."""
    third: str | None
    """The objective that colours stand for. None if there are two: then they stand for methods, as shapes do."""
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

    @property
    def x_label(self) -> str:
        """What the axis to the right says."""
        return axis_label(self.axes[0])

    @property
    def y_label(self) -> str:
        """What the axis upwards says."""
        return axis_label(self.axes[1])

    @property
    def thirds(self) -> list[float]:
        """How far each trial is from the least to the most of the third objective, from 0 to 1."""
        scaled = [log(point.third) if self.third in COSTS else point.third for point in self.points]
        low, span = min(scaled, default=0.0), (max(scaled, default=0.0) - min(scaled, default=0.0)) or 1.0
        return [(value - low) / span for value in scaled]


def drawing(document: SearchDocument, beside: Beside | None = None, shown_on: tuple[str, str] | None = None) -> Drawing:
    """What a picture of the search shows, with published points beside its front if there are any.

    Only complete trials are drawn. The others have errors of unfinished students, and are counted in the subtitle.
    A search with three objectives is drawn on its first cost and its first error, or on the two of `shown_on`; colours
    stand for the third. Published points have one error, and are left out where that is on no axis.
    """
    x, y = shown_on or axes(document.objectives)
    third = next((name for name in document.objectives if name not in (x, y)), None)
    front = Front.of(document.trials, document.objectives)
    marks = document.marked()
    settings = varying_settings(document.trials)
    shown = [trial for trial in document.trials if trial.number in marks]
    points = tuple(_point(trial, (x, y), third, marks[trial.number], document.objectives, settings) for trial in shown)
    by_number = dict(zip((trial.number for trial in shown), points, strict=True))
    methods = sorted({point.method for point in points})
    costed = beside.points if beside and (x, y) == axes(document.objectives) else []
    known = tuple(_published(point, x, y) for point in costed)
    near = [point for point in known if point.y <= FAR * max((trial.y for trial in points), default=inf)]
    far = f" · out of the picture: {', '.join(point.label for point in known if point not in near)}"
    return Drawing(
        title=f"{document.name}: front of {len(document.front)}",
        subtitle=f"{trial_counts(document)} · hypervolume {rounded(document.hypervolume)} at ({_reference(document)})"
        + (far if len(near) < len(known) else ""),
        axes=(x, y),
        third=third,
        points=points,
        front=tuple(by_number[trial.number] for trial in step_line(front, (x, y))),
        teacher=_teacher(document, (x, y), third),
        published=tuple(near),
        published_label=beside.label if beside else "",
        looks={
            method: Look(COLOURS[index % len(COLOURS)], SHAPES[index % len(SHAPES)])
            for index, method in enumerate(methods)
        },
    )


def pairs_of(objectives: Sequence[str]) -> list[tuple[str, str]]:
    """The pairs of objectives that a search may be drawn on: the first cost and error first, costs to the right."""
    ordered = [*costs_of(objectives), *errors_of(objectives)]
    first = axes(objectives)
    return [first, *(pair for pair in combinations(ordered, 2) if pair != first)]


def step_line(front: Front, shown_on: tuple[str, str]) -> list[TrialRecord]:
    """The trials that the step line joins on these two axes, sorted by the first.

    With three objectives, a member of the front may be dominated on the two axes shown. The line leaves it out.
    """
    x, y = shown_on
    flat = front if set(front.objectives) == {x, y} else Front.of((*front.members, *front.dominated), (x, y))
    return sorted(flat.members, key=lambda trial: (value(trial, x), value(trial, y)))


def round_ticks(low: float, high: float) -> list[float]:
    """Ticks at 1, 2, 5, 10, ... between the two ends. On a range of three decades or more, at powers of ten."""
    decades = range(int(log10(low)) - 1, int(log10(high)) + 2)
    digits = (1, 2, 5) if high / low < 1000 else (1,)
    return [tick for decade in decades for digit in digits if low <= (tick := digit * 10.0**decade) <= high]


def axis_label(objective: str) -> str:
    """What the axis of an objective says."""
    return {
        "macs": "MACs of the student on SUPERB's 32 utterances, GMAC",
        "params": "parameters of the student, millions",
        "size": "size of the student's file, MB",
        "latency": "latency of the student on the device, ms",
    }.get(objective, f"{header(objective)} on dev, with 95 % intervals")


def _point(
    trial: TrialRecord,
    shown_on: tuple[str, str],
    third: str | None,
    marked: Marked,
    objectives: Sequence[str],
    settings: Sequence[str],
) -> Point:
    x, y = shown_on
    details = [
        f"trial {trial.number}, {trial.method}: {marked.text}",
        *_figures(trial, objectives),
        *(f"{key} {setting_text(trial.config[key])}" for key in settings if key in trial.config),
    ]
    return Point(
        str(trial.number),
        trial.method,
        value(trial, x),
        value(trial, y),
        *interval(trial, y),
        marked.mark,
        tuple(details),
        interval(trial, x),
        value(trial, third) if third else nan,
    )


def _figures(point: TrialRecord | TeacherPoint, objectives: Sequence[str]) -> list[str]:
    """A line for the costs, and one for each error."""
    lines = [point.cost.text]
    for name in errors_of(objectives):
        low, high = interval(point, name)
        lines.append(f"{header(name)} {value(point, name):.2f} ({low:.2f} - {high:.2f})")
    return lines


def _teacher(document: SearchDocument, shown_on: tuple[str, str], third: str | None) -> Point | None:
    teacher = document.teacher
    if teacher is None or not all(isfinite(value(teacher, name)) for name in shown_on):
        return None
    x, y = shown_on
    return Point(
        teacher.name,
        "teacher",
        value(teacher, x),
        value(teacher, y),
        *interval(teacher, y),
        None,
        (teacher.name, *_figures(teacher, document.objectives)),
        interval(teacher, x),
        value(teacher, third) if third else nan,
    )


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
