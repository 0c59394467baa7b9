"""Draws a front as a PNG, by matplotlib, and as an HTML page that needs no network, by plotly."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from math import nan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from raysearch.front.beside import Beside
from raysearch.front.document import SearchDocument
from raysearch.front.drawing import Drawing, Point, Shape, drawing, pairs_of, round_ticks
from raysearch.front.front import Mark
from raysearch.front.objective import COSTS
from raysearch.front.pages.limits import write_page
from raysearch.front.third_axis import add_html_bar, add_png_bar, html_colours, png_colours

if TYPE_CHECKING:
    from plotly import graph_objects

INK, GREY, PALE, GOLD = "#333333", "#9a9a9a", "#c8c8c8", "#E6B800"
# The page that MLflow serves keeps to the same rules: a mark is open, not filled, if the trial's place is within noise;
# a method has its colour and its shape, faint and small off the front; only the front's members have intervals drawn.
MEMBERS = (Mark.FRONT, Mark.FRONT_WITHIN_NOISE)
OPEN = (Mark.FRONT_WITHIN_NOISE, Mark.WITHIN_NOISE)
DOMINATED = ((Mark.WITHIN_NOISE, "dominated, within noise"), (Mark.FIRMLY_DOMINATED, "firmly dominated"))
FAINT = 0.45
"""Opacity of dominated trials."""
MOST_LABELS = 20
"""The most front members that all get a number."""
# A member of a front has no trial below it and to its left, so that place is tried first.
LABEL_SPOTS = (
    (-6, -6, "right", "top"),
    (-8, 0, "right", "center"),
    (-6, -16, "right", "top"),
    (-18, -10, "right", "top"),
    (7, 5, "left", "bottom"),
    (7, 16, "left", "bottom"),
)
NAME_SPOTS = (
    (6, 0, "left", "center"),
    (-6, 0, "right", "center"),
    (0, 6, "center", "bottom"),
    (0, -6, "center", "top"),
    (5, 5, "left", "bottom"),
    (5, -5, "left", "top"),
    (-5, 5, "right", "bottom"),
    (-5, -5, "right", "top"),
    (0, -15, "center", "top"),
    (0, 15, "center", "bottom"),
)
Spot = tuple[int, int, str, str]
"""Where a label may stand beside its point: offset in points, and alignment."""


def draw_png(document: SearchDocument, path: Path, ringed: int | None = None, beside: Beside | None = None) -> None:
    """Writes a picture of 1440 x 900 pixels. The trial with the number `ringed` has a ring around it.

    Published points `beside` the front are diamonds with their names.

    No display is needed, and the global state of pyplot is left alone.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    shown = drawing(document, beside)
    figure = Figure(figsize=(9, 5.625), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    _frame(axes, shown)
    _draw_points(axes, shown)
    if shown.third is not None and shown.points:
        add_png_bar(figure, axes, shown)
    if shown.teacher is not None:
        _draw_teacher(axes, shown.teacher)
    if shown.published:
        xs, ys = [point.x for point in shown.published], [point.y for point in shown.published]
        style: dict[str, Any] = {"markersize": 6, "markerfacecolor": "white", "markeredgecolor": INK}
        axes.plot(xs, ys, "D", zorder=4, linestyle="none", label=shown.published_label, **style)
    for point in shown.points:
        if point.label == str(ringed):
            style = {"markersize": 17, "markerfacecolor": "none", "markeredgewidth": 1.8}
            axes.plot(
                point.x, point.y, "o", markeredgecolor=INK, zorder=5, linestyle="none", label=f"trial {ringed}", **style
            )
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1), frameon=False, fontsize=9, borderaxespad=0)
    else:
        axes.text(0.5, 0.5, "no complete trial yet", transform=axes.transAxes, ha="center", color=GREY)
    # Labels are placed by pixels, which are known only once the layout has been computed.
    figure.draw_without_rendering()
    _label(axes, shown)
    figure.savefig(path, format="png")


def _frame(axes: Any, shown: Drawing) -> None:
    from matplotlib.ticker import FixedLocator, NullFormatter, NullLocator, StrMethodFormatter

    axes.set_xscale("log")
    everything = (*shown.points, *([shown.teacher] if shown.teacher else []), *shown.published)
    costs = [point.x for point in everything] or [1.0, 1000.0]
    low, high = min(costs) / 1.35, max(costs) * 1.35
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(FixedLocator(round_ticks(low, high)))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel(shown.x_label, color=INK)
    axes.set_ylabel(shown.y_label, color=INK)
    axes.set_title(shown.title, loc="left", fontsize=13, fontweight="bold", color=INK, pad=24)
    axes.text(0, 1.025, shown.subtitle, transform=axes.transAxes, fontsize=9, color="#666666")
    axes.grid(axis="both", color="#ececec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(PALE)


def _draw_points(axes: Any, shown: Drawing) -> None:
    colours = png_colours(shown)
    for method, (colour, shape) in shown.looks.items():
        own = [point for point in shown.points if point.method == method]
        # Where colours stand for the third objective, each point has its own, and the method its shape alone.
        for batch in [[point] for point in own] if colours else [own]:
            _draw_alike(axes, batch, colours.get(batch[0].label, colour), shape)
        # An empty line puts the method into the legend even if the front has none of its trials.
        axes.plot([], [], shape.matplotlib, color=GREY if colours else colour, markersize=8, label=method)
    if shown.front:
        xs, ys = [point.x for point in shown.front], [point.y for point in shown.front]
        ends = [*xs, axes.get_xlim()[1]], [*ys, ys[-1]]
        axes.step(*ends, where="post", color=INK, linewidth=1, zorder=3, label=_line_label(shown))
    for mark, label in DOMINATED:
        if any(point.mark is mark for point in shown.points):
            axes.plot([], [], "o", color=GREY, markersize=5, markerfacecolor=_face(mark, GREY), label=label)


def _line_label(shown: Drawing) -> str:
    """What the legend calls the step line. With a third objective the front has members off the line."""
    return "front (open: within noise)" if shown.third is None else "best on these axes (open: within noise)"


def _draw_alike(axes: Any, points: Sequence[Point], colour: Any, shape: Shape) -> None:
    """Draws points of one colour and one shape."""
    style = {"color": colour, "markersize": 8, "elinewidth": 1.4, "fmt": shape.matplotlib}
    for mark, face, edge in ((Mark.FRONT, colour, "white"), (Mark.FRONT_WITHIN_NOISE, "white", colour)):
        members = [point for point in points if point.mark is mark]
        look = {
            "markerfacecolor": face,
            "markeredgecolor": edge,
            "markeredgewidth": 0.6 if mark is Mark.FRONT else 1.6,
        }
        _errorbars(axes, members, **style, **look, zorder=5 if mark is Mark.FRONT else 4)
    for mark, _ in DOMINATED:
        dominated = [point for point in points if point.mark is mark]
        look = {"color": colour, "alpha": FAINT, "markerfacecolor": _face(mark, colour), "zorder": 2}
        xs, ys = [point.x for point in dominated], [point.y for point in dominated]
        axes.plot(xs, ys, shape.matplotlib, markersize=5, linestyle="none", **look)


def _face(mark: Mark, colour: str) -> str:
    return "white" if mark in OPEN else colour


def _errorbars(axes: Any, points: Sequence[Point], **style: Any) -> None:
    if not points:
        return
    axes.errorbar(
        [point.x for point in points],
        [point.y for point in points],
        yerr=[[point.y - point.low for point in points], [point.high - point.y for point in points]],
        **style,
    )


def _draw_teacher(axes: Any, teacher: Point) -> None:
    axes.axhline(teacher.y, color=GREY, linestyle=(0, (5, 4)), linewidth=1, zorder=1)
    label = f"{teacher.label}, {teacher.y:.3g} %"
    axes.plot(
        teacher.x, teacher.y, "*", color=GOLD, markeredgecolor=INK, markersize=15, zorder=5, clip_on=False,
        linestyle="none", label=label,
    )  # fmt: skip


def _label(axes: Any, shown: Drawing) -> None:
    """Writes trial numbers beside the members, and names beside published points.

    On a crowded front only those members get numbers that are not within noise of a cheaper one.
    """
    # With a third objective, members may lie off the step line.
    front = shown.front if shown.third is None else [point for point in shown.points if point.mark in MEMBERS]
    crowded = len(front) > MOST_LABELS
    members = [point for point in front if point.mark is Mark.FRONT or not crowded]
    obstacles = [_footprint(axes, point) for point in (*shown.points, *shown.published)]
    labels: list[Any] = []  # boxes of the labels that stand already
    for point in members:
        _write(axes, point, LABEL_SPOTS, obstacles, labels, fontsize=9, color=INK)
    for point in shown.published:
        _write(axes, point, NAME_SPOTS, obstacles, labels, fontsize=7, color="#555555")


def _write(
    axes: Any, point: Point, spots: Sequence[Spot], obstacles: Sequence[Any], labels: list[Any], **style: Any
) -> None:
    """Writes a point's label at the spot where it hides least. One that would hide another label is left out."""
    # Only a text that has been drawn knows its size: so all spots are drawn, and all but the best removed.
    texts = [
        axes.annotate(
            point.label, (point.x, point.y), xytext=(x, y), textcoords="offset points", ha=ha, va=va, zorder=6, **style
        )
        for x, y, ha, va in spots
    ]
    boxes = [text.get_window_extent() for text in texts]
    # To hide another label counts a hundred times as much as to hide a point, to leave the axes ten times.
    frame = axes.get_window_extent()
    hidden = [
        box.count_overlaps(obstacles) + 100 * box.count_overlaps(labels) + 10 * (not _within(box, frame))
        for box in boxes
    ]
    best = hidden.index(min(hidden))
    for index, text in enumerate(texts):
        if index != best or hidden[best] >= 100:
            text.remove()
    labels.append(boxes[best])


def _within(box: Any, frame: Any) -> bool:
    return bool(frame.x0 <= box.x0 and box.x1 <= frame.x1 and frame.y0 <= box.y0 and box.y1 <= frame.y1)


def _footprint(axes: Any, point: Point) -> Any:
    """The box of pixels that a point covers with its error bar."""
    from matplotlib.transforms import Bbox

    (x, low), (_, high) = axes.transData.transform([(point.x, point.low), (point.x, point.high)])
    return Bbox([[x - 4, low], [x + 4, high]])


def draw_html(document: SearchDocument, path: Path, beside: Beside | None = None) -> None:
    """Writes one page of about 5 MB, since it holds plotly itself. Settings and intervals appear on hover.

    With three objectives any two of them can be put on the axes, and each has a limit to move.
    """
    if len(document.objectives) < 3:
        figure(document, beside).write_html(path, include_plotlyjs=True, full_html=True, config={"displaylogo": False})
    else:
        figures = {pair: figure(document, beside, pair) for pair in pairs_of(document.objectives)}
        write_page(document, figures, path)


def figure(
    document: SearchDocument, beside: Beside | None = None, shown_on: tuple[str, str] | None = None
) -> graph_objects.Figure:
    """The interactive picture of a search: its front, its dominated trials and its teacher, on cost and error.

    `shown_on` are two other objectives to draw it on. Published points `beside` the front have their names, and their
    sources on hover.
    """
    from plotly import graph_objects

    shown = drawing(document, beside, shown_on)
    drawn = graph_objects.Figure()
    for mark, label in DOMINATED:
        points = [point for point in shown.points if point.mark is mark]
        if points:
            _trace(drawn, shown, points, label, _symbols(shown, points), size=7, opacity=FAINT, showlegend=False)
            _trace(drawn, shown, [], label, "circle-open" if mark in OPEN else "circle", size=7, colour=GREY)
    if shown.front:
        drawn.add_scatter(
            x=[point.x for point in shown.front], y=[point.y for point in shown.front], mode="lines", meta="line",
            name=_line_label(shown), line={"shape": "hv", "color": INK, "width": 1.3}, hoverinfo="skip",
        )  # fmt: skip
    for method, (_, shape) in shown.looks.items():
        members = [point for point in shown.points if point.method == method and point.mark in MEMBERS]
        symbols = _symbols(shown, members) or shape.plotly
        _trace(drawn, shown, members, method, symbols, size=12, text=True, intervals=True)
    if shown.teacher is not None:
        _trace(drawn, shown, [shown.teacher], shown.teacher.label, "star", size=17, colour=GOLD)
        drawn.add_hline(y=shown.teacher.y, line={"color": GREY, "dash": "dash", "width": 1})
    if shown.published:
        label = shown.published_label
        _trace(drawn, shown, shown.published, label, "diamond-open", size=9, text=True, colour=INK)
        sides = [("middle right", "middle left")[index % 2] for index in range(len(shown.published))]
        drawn.data[-1].update(textposition=sides, textfont={"size": 9}, cliponaxis=False)
    if shown.third is not None and shown.points:
        add_html_bar(drawn, shown)
    bars = [
        {"label": label, "method": "restyle", "args": [{"error_x.visible": on, "error_y.visible": on}]}
        for label, on in BARS
    ]
    x_type, y_type = ({"type": "log", "dtick": "D2"} if name in COSTS else {} for name in shown.axes)
    drawn.update_layout(
        template="plotly_white",
        title={"text": f"<b>{escape(shown.title)}</b><br><sub>{escape(shown.subtitle)}</sub>", "x": 0.01},
        xaxis={"title": {"text": shown.x_label}, **x_type},
        yaxis={"title": {"text": shown.y_label}, **y_type},
        hoverlabel={"align": "left"},
        updatemenus=[{"buttons": bars, "type": "buttons", "direction": "right", "x": 1, "y": 1.12, "xanchor": "right"}],
    )
    return drawn


BARS = (("intervals", True), ("no intervals", False))
"""The two buttons of the page, and whether each draws intervals."""


def _symbols(shown: Drawing, points: Sequence[Point]) -> list[str]:
    """Plotly's name for the shape of each trial."""
    return [f"{shown.looks[point.method].shape.plotly}{'-open' if point.mark in OPEN else ''}" for point in points]


def _trace(
    drawn: graph_objects.Figure,
    shown: Drawing,
    points: Sequence[Point],
    name: str,
    symbol: str | list[str],
    *,
    size: int,
    colour: str | None = None,
    text: bool = False,
    intervals: bool = False,
    opacity: float = 1.0,
    showlegend: bool = True,
) -> None:
    """Adds points, which have the colour of their method or their third objective unless one is given."""
    # A method without a member has no points, but a line in the legend.
    own = shown.looks[name].colour if name in shown.looks and shown.third is None else GREY
    colours = colour or html_colours(shown, points) or own
    across = intervals and shown.axes[0] not in COSTS
    if intervals and shown.third is None:
        colours = own
    # Open shapes are drawn in the colour of their line, so a white one would hide them.
    line = {"width": 1.6, "color": colours} if intervals else {"width": 1}
    drawn.add_scatter(
        # NaN gives the trace a point that is not drawn: without any point it would have no line in the legend.
        x=[point.x for point in points] or [nan],
        y=[point.y for point in points] or [nan],
        error_x=_bars([(point.x, *point.x_ends) for point in points], own) if across else None,
        error_y=_bars([(point.y, point.low, point.high) for point in points], own) if intervals else None,
        mode="markers+text" if text else "markers",
        text=[escape(point.label) for point in points],
        textposition="bottom left",
        marker={"color": colours, "size": size, "symbol": symbol, "opacity": opacity, "line": line},
        hovertext=["<br>".join(map(escape, point.details)) for point in points],
        hoverinfo="text",
        name=escape(name),
        legendgroup=escape(name),
        showlegend=showlegend,
        # What the limits of a page are compared with.
        customdata=[[point.x, point.y, point.third] for point in points if point.mark] or None,
    )


def _bars(ends: Sequence[tuple[float, float, float]], colour: str) -> dict[str, Any]:
    """Intervals of these values, each with its lower and upper end."""
    return {
        "type": "data",
        "array": [high - value for value, _, high in ends],
        "arrayminus": [value - low for value, low, _ in ends],
        "thickness": 1.2,
        "width": 0,
        "color": colour,
    }
